"""The readers of text files: config, run folder, manifest, caches, names of classes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzzing.guard import ROOT
from benchmarks.fuzzing.mutate import (
    WORDS,
    json_bytes,
    some_bytes,
    some_json,
    some_text,
)
from benchmarks.fuzzing.reader import TEXT, Reader, Wrong
from gradproof.cli import certificates
from gradproof.codegen.certify import known_record
from gradproof.codegen.folder import entries_in, is_ours
from gradproof.derive.checker import Refused
from gradproof.runtime import compile as compiling
from gradproof.runtime import tuned
from gradproof.runtime.build import CACHE_VARIABLE
from gradproof.runtime.config import load_config
from gradproof.runtime.data.cifar import read_class_names
from gradproof.runtime.device import DeviceInfo
from gradproof.runtime.errors import DataError, GradproofError, RunError
from gradproof.runtime.manifest import Operator, read_manifest
from gradproof.runtime.run import RunConfig, RunFolder

# -- the config -----------------------------------------------------------------------------------
TOML = (
    'tensorboard = false\n[data]\ndataset = "cifar"\ncrop_padding = 4\nflip = true\n',
    '[model]\nname = "resnet20"\nweights = "a.npz"\nnew = ["fc"]\n[optimizer]\nname = "adam"\n'
    "betas = [0.9, 0.99]\neps = 1e-8\nlr = 0.1\nweight_decay = 1e-4\n",
    '[train]\nepochs = 160\nbatch_size = 128\nseed = 0\nprecision = "fast"\nclip_grad_norm = 5.0\n'
    'early_stopping = 3\n[optimizer]\nmomentum = 0.9\nnesterov = true\nno_decay = ["bias"]\n',
    '[schedule]\nname = "multi-step"\nmilestones = [80, 120]\ngamma = 0.1\nwarmup = 1\n'
    "[checkpoints]\nkeep = 3\nevery = 100\n",
)
TOKENS = (
    "[", "]", "[[", "]]", "{", "}", "=", '"', "'", '"""', "'''", ".", ",", "#", "\n", "\\u0000",
    "\\",
    "true", "nan", "inf", "-inf", "1e400", "0x1F", "0b2", "9" * 5000, "1_000",
    "1979-05-27T07:32:00Z",
    "0000-00-00", "9999-99-99", "07:61:00", "[" * 2000, "a." * 3000 + "a", '{a = ' * 2000, "-1",
    "0",
    "[model]", "name", "[train]", "epochs = 1", "lr", '"adam"', "\x7f", "\ufeff", "é", "--1",
    "1.e5",
)  # fmt: skip


def toml(rng: Random) -> bytes:
    """Lines of a config with tokens exchanged."""
    text = some_text(rng, "".join(rng.sample(TOML, rng.choice((1, 1, 2)))), TOKENS)
    content = text.encode("utf-8", "surrogatepass")
    return some_bytes(rng, content) if rng.random() < 0.2 else content


def _config(content: bytes, folder: Path) -> None:
    path = folder / "run.toml"
    path.write_bytes(content)
    load_config(path)


# -- a run folder ---------------------------------------------------------------------------------
@cache
def _run() -> Any:
    config = RunConfig.from_json(json.dumps({
        "config": {}, "image_shape": [1, 8, 8], "classes": ["0", "1"], "device": "cpu",
        "mean": [0.5], "std": [0.1], "versions": {"numpy": "2"},
    }))  # fmt: skip
    return json.loads(config.to_json())


def run_config(rng: Random) -> bytes:
    """config.json."""
    return json_bytes(rng, some_json(rng, _run()))


def metrics(rng: Random) -> bytes:
    """metrics.csv."""
    header = (
        "epoch,lr,train_loss,train_accuracy,train_top5,test_loss,test_accuracy,test_top5,"
        "seconds,images_per_second\n"
    )
    text = header + "".join(f"{k},0.1,2.3,0.1,0.5,2.2,0.2,0.6,1.0,100\n" for k in (1, 2, 3))
    odd = (",", '"', "\n", "\r", "\0", "nan", "1e999", "9" * 5000, "1.5", "", "-", " ", "é", "x")
    content = some_text(rng, text, odd).encode("utf-8", "surrogatepass")
    return some_bytes(rng, content) if rng.random() < 0.3 else content


def _folder(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    run = RunFolder.open(folder)
    _ = run.checkpoints, run.config.test_transform, run.config.config.decisive()


def _metrics(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(_run()))
    (folder / "metrics.csv").write_bytes(content)
    RunFolder.open(folder).history()


def names(rng: Random) -> bytes:
    """Names of classes, one a line."""
    content = some_text(
        rng, "\n".join("abcdefghij") + "\n", ("\n", "\r", "\x85", "é", " ", "\0", "a")
    )
    data = content.encode("utf-8", "surrogatepass")
    return some_bytes(rng, data) if rng.random() < 0.5 else data


def _names(content: bytes, folder: Path) -> None:
    path = folder / "batches.meta.txt"
    path.write_bytes(content)
    read_class_names(path)


# -- a folder of kernels --------------------------------------------------------------------------
@cache
def _generated() -> tuple[dict[str, Any], dict[str, str]]:
    folder = ROOT / "generated"
    entries = json.loads((folder / "manifest.json").read_text("utf-8"))["operators"]
    entries = {n: entries[n] for n in ("relu", "linear")}
    files = [f for e in entries.values() for f in e["sha256"]]
    return (
        {"format": 1, "operators": entries},
        {f: (folder / f).read_text("utf-8") for f in files},
    )


def manifest(rng: Random) -> bytes:
    """manifest.json of a folder with two operators."""
    value = _generated()[0]
    if rng.random() < 0.2:
        value = json.loads(json.dumps(value))
        entry = value["operators"]["linear"]
        name = rng.choice((*WORDS, "proofs", "..", "relu.cl/../../outside"))
        if rng.random() < 0.5:
            entry["file"] = name
        else:
            entry["sha256"][name] = "0"
        return json.dumps(value).encode()
    return json_bytes(rng, some_json(rng, value))


def _put(content: bytes, folder: Path) -> None:
    for name, text in _generated()[1].items():
        path = folder / name
        if not path.exists():
            path.write_text(text, "utf-8")
    (folder / "manifest.json").write_bytes(content)


def _manifest(content: bytes, folder: Path) -> None:
    _put(content, folder)
    if not all(isinstance(o, Operator) for o in read_manifest(folder).values()):
        raise Wrong("no operators")


def _entries(content: bytes, folder: Path) -> None:
    """What `gradproof generate --out` asks of a folder before it writes there."""
    _put(content, folder)
    is_ours(folder / "manifest.json")
    entries_in(folder)


def record(rng: Random) -> bytes:
    """A record of certificates, as JSON."""
    value = json.loads((ROOT / "generated" / "proofs" / "relu.json").read_text("utf-8"))
    return json_bytes(rng, some_json(rng, value), 0.5)


def _record(content: bytes, folder: Path) -> None:
    (folder / "proofs").mkdir(exist_ok=True)
    (folder / "proofs" / "relu.json").write_bytes(content)
    is_ours(folder / "proofs" / "relu.json")
    known_record(folder, "relu")


# -- caches: what does not fit is left out with a warning, so nothing is raised -------------------
INFO = DeviceInfo(0, "p", "1", "d", "cpu", "1", "1", "1", 1, 1, 1, 1, 1, (1,), True, 64)


def cached(rng: Random) -> bytes:
    """JSON as caches keep it, signed or not; see `_tuned`, `_operator` and `_certificates`."""
    body = {"device": tuned._device(INFO), "entries": {"k": {"choice": "a", "ms": 1.0}}}
    value = some_json(rng, body)
    if rng.random() < 0.5 and isinstance(value, dict):  # as whoever can write there would sign it
        parts = [value.get("device"), value.get("entries")]
        value["sha256"] = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        value = {k: value.get(k) for k in ("sha256", "device", "entries")}
    return json_bytes(rng, value, 0.6)


def _in_cache(read: Callable[[Path, bytes], object]) -> Callable[[bytes, Path], object]:
    def whole(content: bytes, folder: Path) -> object:
        os.environ[CACHE_VARIABLE] = str(folder / "cache")
        return read(folder, content)

    return whole


def _certificates(_: Path, content: bytes) -> None:
    path = certificates.certificates_folder("my_op.py") / "f.record"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    found = certificates.kept("my_op.py", "f")
    if found is not None and not isinstance(found, dict):
        raise Wrong(f"a record of {type(found)}")


def _operator(folder: Path, content: bytes) -> None:
    path = folder / "f.json"
    path.write_bytes(content)
    compiling._load(path, "key", "f")


def _tuned(_: Path, content: bytes) -> None:
    path = tuned.tuning_path(INFO)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = tuned.load(INFO)
    if not all(isinstance(choice, str) for choice in tuned.tuned_choices(INFO).values()):
        raise Wrong(f"{found} are no choices")


LIST = (
    Reader("config", toml, _config, (RunError,), TEXT),
    Reader("run folder", run_config, _folder, (GradproofError,), TEXT),
    Reader("metrics", metrics, _metrics, (RunError,), TEXT),
    Reader("class names", names, _names, (DataError,), TEXT),
    Reader("manifest", manifest, _manifest, (GradproofError,), TEXT),
    Reader("manifest to extend", manifest, _entries, (Refused,), TEXT),
    Reader("record to reuse", record, _record, (Refused,), TEXT),
    Reader("certificate cache", cached, _in_cache(_certificates), (), TEXT),
    Reader("operator cache", cached, _in_cache(_operator), (), TEXT),
    Reader("tuning cache", cached, _in_cache(_tuned), (), TEXT),
)
READERS = {r.name: r for r in LIST}
