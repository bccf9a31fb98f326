"""Cache folders that are damaged, shared, read-only or full: work goes on, and says so once."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import build as build_module
from gradproof.runtime import caches, tuned
from gradproof.runtime.build import CACHE_VARIABLE, decode_entry, encode_entry, write_atomically
from gradproof.runtime.caches import BASE_VARIABLE, POCL_VARIABLE, trouble
from gradproof.runtime.device import Device, open_device
from gradproof.runtime.folders import in_turn

ROOT = Path(__file__).resolve().parents[1]
DOUBLE = "kernel void twice(global float *x) { x[get_global_id(0)] *= 2; }"
ALL = """
    import numpy as np, gradproof as gp
    gp.use_device("cpu")
    layer = gp.nn.Linear(4, 2)
    x = gp.tensor(np.eye(4, dtype=np.float32))
    planned = gp.plan(lambda t: gp.functional.relu(layer(t)), x)
    assert (planned(x).numpy() == gp.functional.relu(layer(x)).numpy()).all()
    scale = gp.operator("scale", "y[i] = a * x[i]", {"x": "N"}, scalars={"a": "real"})
    print(gp.compile(scale)(gp.tensor([1.0, 2.0]), a=3).numpy().tolist())
"""


def python(code: str, *args: object, **changes: str | None) -> subprocess.Popen[str]:
    """A new process; a variable that is None is taken out of its environment."""
    variables = {**os.environ, **changes}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        env={n: v for n, v in variables.items() if v is not None},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """What it printed, and the lines of its standard error that are ours."""
    try:
        printed, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return printed, [line for line in errors.splitlines() if "warning generated" not in line]


def works(device: Device) -> None:
    kernel = device.build(DOUBLE, (), ("twice",), label="twice.cl")["twice"]
    buffer, host = device.pool.allocate(64), np.arange(16, dtype=np.float32)
    device.copy(buffer, host, "x")
    kernel.set_arg(0, buffer)
    device.launch(kernel, (16,), (1,))
    found = np.empty_like(host)
    device.copy(found, buffer, "x")
    assert (found == 2 * host).all()


# -- damaged --------------------------------------------------------------------------------------
def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


KERNEL_DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": rewritten(lambda c: c[: len(c) // 2]),
    "empty": rewritten(lambda c: b""),
    "bit flip": rewritten(flipped),
    "another version": rewritten(
        lambda c: c.replace(b"gradproof-program 1", b"gradproof-program 0")
    ),
    "no program": rewritten(lambda c: encode_entry(b"not a program")),
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", KERNEL_DAMAGE)
def test_a_damaged_kernel_cache_is_built_again_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    works(Device(open_device("cpu").info))
    (path,) = (tmp_path / "kernels").iterdir()
    KERNEL_DAMAGE[damage](path)
    works(Device(open_device("cpu").info))
    (said,) = (r.getMessage() for r in caplog.records)
    assert str(path) in said
    assert "building it again" in said or "kernels are built in memory" in said
    if damage != "a folder":
        assert decode_entry(path.read_bytes()) != b"not a program"
        caplog.clear()
        works(Device(open_device("cpu").info))
        assert not caplog.records, "what was built again is kept"


DEEP = b'{"operator": ' + b"[" * 100_000
JSON_DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": rewritten(lambda c: c[: len(c) // 2]),
    "bit flip": rewritten(flipped),
    "another type": rewritten(lambda c: b"[]"),
    "a number": rewritten(lambda c: b"3"),
    "no text": rewritten(lambda c: b"\xff\xfe" + c),
    "deep": rewritten(lambda c: DEEP),
    "a folder": as_folder,
}


@pytest.mark.parametrize("damage", JSON_DAMAGE)
def test_a_damaged_plan_is_made_again_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    layer, x = gp.nn.Linear(4, 2), gp.tensor(np.eye(4, dtype=np.float32))
    for _ in range(2):  # the first has moved the weights, so the second is another one
        right = gp.plan(layer, x)(x).numpy()
    for path in tuple((tmp_path / "plans").iterdir()):
        JSON_DAMAGE[damage](path)
    assert (gp.plan(layer, x)(x).numpy() == right).all()
    assert str(tmp_path / "plans") in caplog.text
    assert "making it again" in caplog.text
    if damage != "a folder":
        caplog.clear()
        gp.plan(layer, x)
        assert not caplog.records, "what was made again is kept"


@pytest.mark.parametrize("damage", JSON_DAMAGE)
def test_a_damaged_tuning_is_said_once_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    info = open_device("cpu").info
    entry = {"key": {"choice": "direct x", "seconds": 1.0, "ratio": 0.5}}
    tuned.keep(info, entry)
    JSON_DAMAGE[damage](tuned.tuning_path(info))
    for _ in range(3):
        assert tuned.tuned_choices(info) == {}
    (said,) = (r.getMessage() for r in caplog.records)
    assert str(tuned.tuning_path(info)) in said
    assert "using the defaults, until `gradproof tune` writes it anew" in said
    if damage == "a folder":
        with pytest.raises(gp.errors.GradproofError, match="cannot be written"):
            tuned.keep(info, entry)
    else:
        tuned.keep(info, entry)
        assert tuned.tuned_choices(info) == {"key": "direct x"}


# -- two processes --------------------------------------------------------------------------------
WRITER = """
    import sys
    from pathlib import Path
    from gradproof.runtime.build import encode_entry, write_atomically
    path, letter = Path(sys.argv[1]), sys.argv[2].encode()
    print("ready", flush=True)
    while True:
        write_atomically(path, encode_entry(letter * 300_000))
"""


def test_writers_that_are_killed_never_leave_half_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, moments = tmp_path / "kernels" / "x.bin", random.Random(0)
    for _ in range(2):
        writers = [python(WRITER, path, letter) for letter in "ab"]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        end = time.monotonic() + moments.uniform(0.05, 0.3)
        while time.monotonic() < end:
            if path.is_file():
                assert set(decode_entry(path.read_bytes())) in ({ord("a")}, {ord("b")})
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        assert set(decode_entry(path.read_bytes())) in ({ord("a")}, {ord("b")})
    # what they left is removed, later, when nobody can be writing it
    (path.parent / "y.bin1234.tmp").write_bytes(b"half")
    os.utime(path.parent / "y.bin1234.tmp", (0, 0))
    (path.parent / "z.bin1234.tmp").write_bytes(b"half")
    build_module._remove_unfinished.cache_clear()
    write_atomically(path, b"new")
    left = {p.name for p in path.parent.iterdir()}
    assert "y.bin1234.tmp" not in left
    assert "z.bin1234.tmp" in left


TUNER = """
    import sys, time
    from gradproof.runtime import tuned
    from gradproof.runtime.device import choose

    def slowly(info):
        found = load(info)
        time.sleep(0.02)
        return found

    load, tuned.load = tuned.load, slowly
    info = choose("cpu")
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(10):
        tuned.keep(info, {f"{sys.argv[1]}{k}": {"choice": "direct x"}})
"""


def test_what_two_processes_tune_is_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    processes = [python(TUNER, name) for name in "ab"]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert output(process)[1] == []
    wanted = {f"{name}{k}" for name in "ab" for k in range(10)}
    assert set(tuned.tuned_choices(open_device("cpu").info)) == wanted


def test_a_process_that_was_stopped_holds_up_nobody_for_long(tmp_path: Path) -> None:
    start = time.monotonic()
    with in_turn(tmp_path), in_turn(tmp_path, seconds=0.2):
        assert time.monotonic() - start >= 0.2


# -- folders that are of no use -------------------------------------------------------------------
@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system with these options."""
    place = tmp_path / "disk"

    def mounted(options: str) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a file system cannot be mounted here")
        return place

    yield mounted
    if place.is_mount():
        subprocess.run(["umount", "-l", place], check=True)


def assert_works_without_a_cache(folder: Path, why: str, **variables: str | None) -> None:
    empty: dict[str, str | None] = dict.fromkeys((CACHE_VARIABLE, BASE_VARIABLE, POCL_VARIABLE))
    printed, errors = output(python(ALL, **empty | variables))
    assert printed == "[3.0, 6.0]\n"
    (said,) = errors
    assert said.startswith(f"cache folder {folder}: ")
    assert why in said
    assert "set XDG_CACHE_HOME to a folder" in said
    used = said.partition("kernels are kept in ")[2].partition(" until")[0]
    assert used
    assert not Path(used).exists(), "it is removed at the end"


@pytest.mark.slow
def test_a_home_that_cannot_be_written(disk: Callable[[str], Path]) -> None:
    home = disk("ro")
    assert_works_without_a_cache(home / ".cache", "cannot be written", HOME=str(home))


def test_a_home_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = str(tmp_path / "file")
    assert_works_without_a_cache(tmp_path / "file" / ".cache", "is a file", HOME=home)


@pytest.mark.slow
def test_a_cache_folder_on_a_full_disk(disk: Callable[[str], Path]) -> None:
    place = disk("size=1m")
    assert_works_without_a_cache(place, "MiB are left", XDG_CACHE_HOME=str(place))


@pytest.mark.slow
def test_folders_of_the_user_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    variables = {CACHE_VARIABLE: str(tmp_path / "file"), POCL_VARIABLE: str(tmp_path / "file")}
    printed, errors = output(python(ALL, **variables))
    assert printed == "[3.0, 6.0]\n"
    assert len(errors) == 3, "one for each folder: PoCL's, ours, and that of programs"
    assert f"set {POCL_VARIABLE} to a folder that can be written" in errors[0]
    assert all(f"set {CACHE_VARIABLE} to a folder that can be written" in e for e in errors[1:])


def test_what_is_wrong_with_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trouble(tmp_path / "not" / "there") == ""
    (tmp_path / "file").write_text("")
    assert trouble(tmp_path / "file" / "x") == f"{tmp_path / 'file'} is a file"
    with monkeypatch.context() as closed:
        closed.setattr(os, "access", lambda *_: False)
        assert trouble(tmp_path) == f"{tmp_path} cannot be written"
    monkeypatch.setattr(caches, "ROOM", 1 << 62)
    assert "MiB are left on its disk" in trouble(tmp_path)


def test_the_cache_folder_of_pocl_is_replaced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(BASE_VARIABLE, str(tmp_path))
    monkeypatch.setenv(POCL_VARIABLE, str(tmp_path / "file" / "kernels"))
    with caplog.at_level(logging.WARNING):
        caches.prepare_caches()
    assert os.environ[BASE_VARIABLE] == str(tmp_path)
    assert Path(os.environ[POCL_VARIABLE]).name == "pocl_cache_dir"
    assert f"{tmp_path / 'file'} is a file; kernels are kept in" in caplog.text


def test_a_cache_folder_that_cannot_be_looked_at_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / ("n" * 300)
    monkeypatch.setenv(BASE_VARIABLE, str(own))
    monkeypatch.delenv(POCL_VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING):
        caches.prepare_caches()
    assert os.environ[BASE_VARIABLE] != str(own)
    assert "File name too long" in caplog.text


def test_a_fork_leaves_the_temporary_cache_to_its_parent(tmp_path: Path) -> None:
    caches._remove(tmp_path, os.getpid() + 1)
    assert tmp_path.is_dir()
    caches._remove(tmp_path, os.getpid())
    assert not tmp_path.exists()


def test_a_system_without_any_room_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(caches, "ROOM", 1 << 62)
    caches._temporary.cache_clear()
    before = dict(os.environ)
    with caplog.at_level(logging.WARNING):
        caches.prepare_caches()
    assert dict(os.environ) == before
    caches._temporary.cache_clear()


def test_json_of_the_caches_is_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The damage above is damage: an untouched file is read without a word."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    info = open_device("cpu").info
    tuned.keep(info, {"key": {"choice": "direct x"}})
    assert json.loads(tuned.tuning_path(info).read_bytes())["entries"]
    assert tuned.tuned_choices(info) == {"key": "direct x"}


# -- fork -----------------------------------------------------------------------------------------
FORKED = """
    import concurrent.futures, gc, multiprocessing, os, sys
    import numpy as np, gradproof as gp
    from gradproof.runtime.errors import DeviceError

    gp.use_device("cpu")
    layer = gp.nn.Linear(4, 2)
    x = gp.tensor(np.eye(4, dtype=np.float32))
    planned = gp.plan(layer, x)
    right = planned(x).numpy()
    big = x.device.pool.zeros(8 << 20, "memory")

    def use(what):
        try:
            {
                "operator": lambda: layer(x),
                "plan": lambda: planned(x),
                "read": x.numpy,
                "new": lambda: gp.tensor([1.0]),
                "fit": lambda: gp.plan(layer, x),
            }[what]()
        except DeviceError as error:
            return str(error)
        return "no error"

    def prepared(k):
        images = np.arange(64, dtype=np.float32).reshape(4, 1, 4, 4) + k
        loader = gp.data.DataLoader(images, np.arange(4), 2, shuffle=True)
        return sum(float(batch.sum()) for batch, _ in loader.epoch(0))

    uses = ["operator", "plan", "read", "new", "fit"]
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as pool:
        for text in pool.map(use, uses):
            print(text)
        print(*pool.map(prepared, range(2)))  # data may be prepared in such a process
    planned.run()
    child = os.fork()
    if child == 0:  # ends as a program does, and gives back what it has
        del big, planned
        gc.collect()
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print((planned(x).numpy() == right).all())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_gets_one_error_and_the_parent_goes_on() -> None:
    printed, errors = output(python(FORKED))
    *uses, data, status, parent = printed.splitlines()
    assert len(uses) == 5
    for text in uses:
        assert text.startswith("OpenCL was used before this process was forked")
        assert "multiprocessing.get_context('spawn')" in text
    assert data == "2016.0 2080.0"
    assert (status, parent) == ("7", "True")
    assert not [line for line in errors if "Warning" not in line and "fork" not in line]
