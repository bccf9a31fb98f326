"""An exported network: compiled by the C compiler here, it gives the plan's logits bit for bit."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl
import pytest
from numpy.typing import NDArray

import gradproof as gp
from gradproof.codegen.host import c_real, c_string
from gradproof.runtime.config import Config
from gradproof.runtime.data import load_dataset
from gradproof.runtime.device import current_device
from gradproof.runtime.errors import (
    ArgumentError,
    DataError,
    GradproofError,
    RunError,
    ShapeError,
)
from gradproof.runtime.layout import Layout
from gradproof.runtime.plan import plan
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.run import RunConfig, RunFolder, versions
from tests.test_cli import fails, invoke

F, nn = gp.functional, gp.nn
BUNDLED = Path(cl.__file__).parent / ".libs"  # the loader and the driver that pip brings
STRICT = "-O1 -Wall -Wextra -Werror -pedantic"


@functools.cache
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None or shutil.which("make") is None:
        pytest.skip("no C compiler, or no make")
    headers = subprocess.run(
        [found, "-E", "-"], input="#include <CL/cl.h>\n", capture_output=True, text=True
    )
    if headers.returncode:
        pytest.skip("no OpenCL headers: CL/cl.h")
    return found


@functools.cache
def loader() -> str:
    """How to link the OpenCL loader: the system's, else the one beside pyopencl."""
    main = "int main(void) { return 0; }\n"
    link = [compiler(), "-x", "c", "-", "-lOpenCL", "-o", os.devnull]
    if not subprocess.run(link, input=main, capture_output=True, text=True).returncode:
        return "-lOpenCL"
    for found in BUNDLED.glob("libOpenCL*.so*"):
        return f"{found} -Wl,-rpath,{BUNDLED}"
    pytest.skip("no OpenCL loader: libOpenCL.so")


def environment() -> dict[str, str]:
    """With the driver that pip brings, where no other is chosen. Its loader needs PYOPENCL_HOME."""
    drivers = [str(path) for path in BUNDLED.glob("libpocl*.so")]
    own = {"PYOPENCL_HOME": str(BUNDLED.parent)}
    return own | ({"OCL_ICD_VENDORS": drivers[0]} if drivers else {}) | dict(os.environ)


def build(folder: Path) -> None:
    made = subprocess.run(
        ["make", "-C", folder, f"CC={compiler()}", f"CFLAGS={STRICT}", f"LDLIBS={loader()}"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr


def classify(folder: Path, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "classify", "--folder", folder, *map(str, args)],
        env=environment() | env,
        capture_output=True,
        text=True,
    )


def refused(folder: Path, *args: object, **env: str) -> str:
    """The one message of a program that fails."""
    done = classify(folder, *args, **env)
    assert done.returncode == 1, done
    (error,) = (x for x in done.stderr.splitlines() if x.startswith("error: "))
    return error.removeprefix("error: ")


def logits_in_c(folder: Path, images: NDArray[Any]) -> NDArray[Any]:
    """What the built program makes of images (batches, batch, ...)."""
    images.tofile(folder / "in.bin")
    done = classify(folder, "--out", folder / "out.bin", folder / "in.bin")
    assert done.returncode == 0, done.stderr
    assert f"device: {current_device().info.name}\n" in done.stderr
    found: NDArray[Any] = np.fromfile(folder / "out.bin", images.dtype)
    return found


def check_export(
    model: gp.nn.Module, shape: tuple[int, ...], batch: int, folder: Path, dtype: str = "float32"
) -> None:
    """`make check`, and other images than those of the test vector, against a plan of our own."""
    compiler()
    gp.export_c(model, shape, folder, batch)
    build(folder)
    done = classify(folder, "--expect", folder / "test/logits.bin", folder / "test/images.bin")
    assert done.stdout == "check: all logits are equal, bit for bit\n", done
    images = np.random.default_rng(5).normal(size=(3, batch, *shape)).astype(dtype)
    with gp.no_grad():
        planned = plan(model, gp.tensor(images[0]))
    expected = np.stack([planned(x).numpy() for x in images])
    assert len(np.unique(expected)) > expected.size // 2, "logits that say nothing"
    np.testing.assert_array_equal(logits_in_c(folder, images), expected.reshape(-1))


def scrambled(model: gp.nn.Module) -> gp.nn.Module:
    """Every parameter and statistic drawn anew, so that none is 0 or 1 by chance."""
    rng = np.random.default_rng(1)
    state = model.state_dict()
    for name, value in state.items():
        if value.dtype.kind == "f":
            drawn = rng.uniform(0.5, 1.5, value.shape) if value.ndim < 2 else value
            state[name] = np.asarray(drawn, value.dtype)
    model.load_state_dict(state)
    return model


def model(name: str, shape: tuple[int, int, int]) -> gp.nn.Module:
    gp.manual_seed(0)
    return scrambled(gp.models.build_model(name, shape, 7))


class Looked(nn.Module):
    """Rows of a table, chosen by constant integers: an equation that has no planned kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6)
        self.scale = nn.Linear(8, 6)
        self.ids = gp.tensor(np.array([4, 0, 2], np.int32))

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return F.linear(F.tanh(self.scale(x.reshape(x.shape[0], -1))), self.table(self.ids))


class Ending(nn.Module):
    """A linear layer and a function of its result."""

    def __init__(self, act: Callable[[gp.Tensor], gp.Tensor]) -> None:
        super().__init__()
        self.fc, self.act = nn.Linear(4, 3), act

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return self.act(self.fc(x))


def constant(_: gp.Tensor) -> gp.Tensor:
    return F.linear(gp.tensor(np.ones((1, 4), np.float32)), gp.tensor(np.ones((3, 4), np.float32)))


def averaging(x: gp.Tensor) -> gp.Tensor:
    """Updates a mean and a variance in each run, in evaluation mode too."""
    mean, var = (gp.tensor(np.ones(3, np.float32)) for _ in range(2))
    return F.batch_norm(x, mean, var, training=True)


# -- equal logits -------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("name", "shape"), [("lenet", (1, 28, 28)), ("demo", (1, 8, 8))])
def test_small_networks(name: str, shape: tuple[int, int, int], batch: int, tmp_path: Path) -> None:
    check_export(model(name, shape), shape, batch, tmp_path / "c")


def test_equations_without_a_planned_kernel(tmp_path: Path) -> None:
    gp.manual_seed(0)
    check_export(Looked(), (2, 4), 3, tmp_path)
    assert (tmp_path / "reference_0.cl").is_file() or (tmp_path / "reference_1.cl").is_file()


def test_float64(tmp_path: Path) -> None:
    gp.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.GELU(), nn.Flatten(), nn.Linear(20, 3)).double()
    check_export(net, (2, 4, 4), 2, tmp_path, "float64")
    assert "typedef double model_real;" in (tmp_path / "model.h").read_text("utf-8")


@pytest.mark.parametrize("flat", [True, False])
def test_images_stay_row_major(flat: bool, tmp_path: Path) -> None:
    """Images of a large batch, which a plan puts in lanes, and images that are seen flat."""
    gp.manual_seed(0)
    body = (
        [nn.Flatten(), nn.Linear(108, 9)]
        if flat
        else [nn.ReLU(), nn.Conv2d(3, 20, 3, padding=1), nn.Flatten(), nn.Linear(720, 9)]
    )
    check_export(nn.Sequential(*body), (3, 6, 6), 16, tmp_path)


def test_kernels_planned_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work-groups of many items, as on a GPU; a CPU runs them too."""
    monkeypatch.setattr("gradproof.runtime.plan.vector_machine", lambda *_: "gpu")
    check_export(model("demo", (1, 8, 8)), (1, 8, 8), 3, tmp_path)
    assert "get_local_id" in (tmp_path / "kernels.cl").read_text("utf-8")


def test_temporaries_in_several_allocations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where all together exceed the device's largest allocation."""

    def least(found: Any, *_: Any) -> int:
        return -(-max(room for _, _, room in found["places"].values()) // 1024) * 1024

    monkeypatch.setattr("gradproof.runtime.plan.piece_for", least)
    check_export(model("demo", (1, 8, 8)), (1, 8, 8), 3, tmp_path)
    assert (tmp_path / "plan.h").read_text("utf-8").count("temporaries (real)") > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "batch"),
    [("resnet20", (3, 32, 32), 1), ("resnet20", (3, 32, 32), 3), ("resnet18", (3, 64, 64), 1)],
)
def test_residual_networks(
    name: str, shape: tuple[int, int, int], batch: int, tmp_path: Path
) -> None:
    check_export(model(name, shape), shape, batch, tmp_path)


def test_a_model_that_a_plan_has_moved(tmp_path: Path) -> None:
    """The export is that of the untouched model, wherever an earlier plan has put parameters."""
    shape = (1, 28, 28)
    fresh, moved = model("lenet", shape), model("lenet", shape)
    for p in moved.parameters():
        if p.ndim == 2:
            columns = Layout(p.shape, ((1, 1, p.shape[1]), (0, 1, p.shape[0])), (0, 0))
            p.storage.move(p.size, p.dtype, columns)
    gp.export_c(fresh, shape, tmp_path / "fresh", 2)
    gp.export_c(moved, shape, tmp_path / "moved", 2)
    for name in ("weights.bin", "plan.h", "kernels.cl", "test/logits.bin"):
        assert (tmp_path / "fresh" / name).read_bytes() == (tmp_path / "moved" / name).read_bytes()
    pairs = zip(fresh.state_dict().values(), moved.state_dict().values(), strict=True)
    assert all((a == b).all() for a, b in pairs)


# -- the program's errors -------------------------------------------------------------------------
@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest of networks, built."""
    compiler()
    gp.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    folder = tmp_path_factory.mktemp("export") / "c"
    gp.export_c(net, (1, 2, 2), folder, 2, classes=["cat", 'a "dog"??/', "é\n"])
    build(folder)
    return folder


def copied(program: Path, folder: Path) -> Path:
    shutil.copytree(program, folder / "c")
    return folder / "c"


def test_classes_are_named(program: Path) -> None:
    logits = np.fromfile(program / "test/logits.bin", np.float32).reshape(-1, 3)
    done = classify(program, program / "test/images.bin")
    names = ["cat", 'a "dog"??/', "é\n"]
    lines = [
        f"image {k}: {names[row.argmax()]} (logit {row.max():.9g})\n"
        for k, row in enumerate(logits)
    ]
    assert (done.stdout, done.returncode) == ("".join(lines), 0)


def test_the_program_of_the_page(program: Path, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs/export-c.md").read_text("utf-8")
    (text,) = re.findall(r"```c\n(.*?)```", page, re.S)
    (tmp_path / "yours.c").write_text(text)
    sources = [tmp_path / "yours.c", program / "model.c"]
    flags = ["-std=c99", f"-I{program}", *STRICT.split(), "-o", tmp_path / "yours"]
    subprocess.run([compiler(), *flags, *sources, *loader().split()], check=True)
    done = subprocess.run(
        [tmp_path / "yours", program], env=environment(), capture_output=True, text=True
    )
    bias = np.fromfile(program / "weights.bin", np.float32)
    name, _, logit = done.stdout.partition(": ")
    assert (name, done.returncode) == ("cat", 0), done.stderr
    assert np.isclose(bias, float(logit), rtol=1e-5).any(), "of black images: the bias"


def test_names_are_written_for_c() -> None:
    assert c_string('a "dog"??/\\é\n') == '"a \\042dog\\042\\077\\077/\\134\\303\\251\\012"'
    assert [c_real(x) for x in (math.nan, math.inf, 1.5)] == [
        "0.0/0.0",
        "1.0/0.0",
        "0x1.8000000000000p+0",
    ]


@pytest.mark.parametrize("size", [0, 16, 33])
def test_a_file_of_another_size(program: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(size))
    expected = f"{tmp_path}/x.bin: has {size} bytes, expected a multiple of 32 (batch 2)"
    assert refused(program, tmp_path / "x.bin") == expected


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["none.bin"], "none.bin: No such file or directory"),
        ([], "classify: a file of images is missing"),
        (["a", "b"], "b: a second file of images; one is expected"),
        (["--logits", "a"], "--logits: no such option"),
        (["a", "--out"], "--out: a value is missing"),
        (["--device", "cpu", "a"], "--device: expected an index, 0 or more"),
    ],
)
def test_wrong_arguments(program: Path, args: list[str], error: str) -> None:
    assert refused(program, *args) == error


def test_no_such_device(program: Path) -> None:
    error = refused(program, "--device", 77, program / "test/images.bin")
    assert error == "model_create: no device 77; devices:"


def test_no_driver(program: Path, tmp_path: Path) -> None:
    error = refused(
        program,
        program / "test/images.bin",
        OCL_ICD_VENDORS=str(tmp_path),
        PYOPENCL_HOME=str(tmp_path),
    )
    assert "clGetPlatformIDs (is an OpenCL driver installed?): CL_PLATFORM_NOT_FOUND" in error


@pytest.mark.parametrize("name", ["kernels.cl", "weights.bin"])
def test_a_missing_file(program: Path, tmp_path: Path, name: str) -> None:
    folder = copied(program, tmp_path)
    (folder / name).unlink()
    error = refused(folder, folder / "test/images.bin")
    assert error == f"model_create: {folder}/{name}: cannot be opened: No such file or directory"


@pytest.mark.parametrize("name", ["kernels.cl", "weights.bin"])
@pytest.mark.parametrize("change", ["flipped", "longer"])
def test_a_changed_file(program: Path, tmp_path: Path, name: str, change: str) -> None:
    folder = copied(program, tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[5] ^= 1
    if change == "longer":
        content[5] ^= 1
        content += b" "
    (folder / name).write_bytes(content)
    error = refused(folder, folder / "test/images.bin")
    assert error == f"model_create: {folder}/{name}: is not the file that was exported with plan.h"


def test_weights_that_end_early(program: Path, tmp_path: Path) -> None:
    folder = copied(program, tmp_path)
    os.truncate(folder / "weights.bin", 7)
    error = refused(folder, folder / "test/images.bin")
    assert error.startswith("model_create: weights.bin: ends inside 1.")


def test_other_logits_fail_the_check(program: Path, tmp_path: Path) -> None:
    """A check that could not fail would be none: one logit is moved by a thousandth."""
    logits = np.fromfile(program / "test/logits.bin", np.float32)
    for change in (0.001, np.nan):
        other = logits.copy()
        other[5] += change
        other.tofile(tmp_path / "x.bin")
        error = refused(program, "--expect", tmp_path / "x.bin", program / "test/images.bin")
        assert error.startswith("check: ")
    logits[:6].tofile(tmp_path / "x.bin")
    error = refused(program, "--expect", tmp_path / "x.bin", program / "test/images.bin")
    assert error.endswith("x.bin: has logits for another number of images")


def test_logits_within_rounding_pass_the_check(program: Path, tmp_path: Path) -> None:
    logits = np.fromfile(program / "test/logits.bin", np.float32)
    logits[5] = np.nextafter(logits[5], np.float32(9))
    logits.tofile(tmp_path / "x.bin")
    done = classify(program, "--expect", tmp_path / "x.bin", program / "test/images.bin")
    assert done.returncode == 0 and done.stdout.startswith("check: logits differ by at most ")


def test_a_kernel_that_does_not_build(program: Path, tmp_path: Path) -> None:
    """The build log comes with the error; the folder's check sum is set to the broken text's."""
    folder = copied(program, tmp_path)
    old = (folder / "kernels.cl").read_bytes()
    new = old + b"broken\n"
    (folder / "kernels.cl").write_bytes(new)
    table = (folder / "plan.h").read_text("utf-8")
    before, after = (f"0x{zlib.crc32(x):08x}u" for x in (old, new))
    assert before in table
    (folder / "plan.h").write_text(table.replace(before, after), "utf-8")
    build(folder)
    done = classify(folder, folder / "test/images.bin")
    assert done.returncode == 1 and "clBuildProgram (kernels.cl): CL_BUILD_PROGRAM" in done.stderr
    assert "broken" in done.stderr.partition("\nbuild log of ")[2]


# -- what is not exported -------------------------------------------------------------------------
def small() -> gp.nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("make", "shape", "options", "error", "text"),
    [
        (small, (4,), {"batch": 0}, ShapeError, "batch=0, image_shape=(4,), expected positive"),
        (small, (), {}, ShapeError, "image_shape=()"),
        (small, (5,), {}, ShapeError, "1 (Linear)"),
        (small, (4,), {"classes": ["a"]}, ShapeError, "1 class names for a model with 3 classes"),
        (small, (4,), {"precision": "best"}, ArgumentError, "precision='best'"),
        (lambda: len, (4,), {}, ArgumentError, "model is builtin_function_or_method"),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 1)),
            (1, 2, 2),
            {},
            ShapeError,
            "the model gives (1, 2, 2, 2) for images (1, 1, 2, 2), expected one result (1, classe",
        ),
        (
            lambda: Ending(lambda x: F.dropout(x, 0.5, training=True)),
            (4,),
            {},
            GradproofError,
            "changes from run to run",
        ),
        (
            lambda: Ending(averaging),
            (4,),
            {"batch": 2},
            GradproofError,
            "batch_norm changes ",
        ),
        (
            lambda: Ending(constant),
            (4,),
            {},
            GradproofError,
            "does not depend on the images",
        ),
    ],
)
def test_what_is_refused(
    make: Callable[[], Any],
    shape: tuple[int, ...],
    options: dict[str, Any],
    error: type[Exception],
    text: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error) as found:
        gp.export_c(make(), shape, tmp_path / "c", **options)
    assert text in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_logits_that_are_not_finite(tmp_path: Path) -> None:
    net = small()
    net.load_state_dict(net.state_dict() | {"1.bias": np.full(3, np.inf, np.float32)})
    with pytest.raises(DataError, match="not finite"):
        gp.export_c(net, (4,), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(RunError, match="is not empty; nothing was changed in it"):
        gp.export_c(small(), (4,), tmp_path)
    assert [x.name for x in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be"):
        gp.export_c(small(), (4,), tmp_path / "file" / "c")


def test_training_mode_is_left(tmp_path: Path) -> None:
    """Dropout and batch norm would change from run to run."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten())
    gp.export_c(net.train(), (1, 2, 2), tmp_path)
    assert not net.training


# -- the command ----------------------------------------------------------------------------------
def test_the_command(tmp_path: Path) -> None:
    """From a run to the same classes as `gradproof predict`."""
    compiler()
    run, folder = tmp_path / "run", tmp_path / "c"
    digits = load_dataset("digits")
    config = RunConfig(
        config=Config(),
        image_shape=digits.image_shape,
        classes=tuple(f"digit{k}" for k in range(7)),
        device="cpu",
        versions=versions(),
    )
    trained = model("demo", digits.image_shape).state_dict()
    RunFolder.create(run, config).add(EpochResult(1, *[0.0] * 9), trained)
    done = invoke("export", run, "--c", folder, "--batch", 4, "--device", "cpu", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["c"]["batch"] == 4
    build(folder)
    images = np.ascontiguousarray(digits.x_test[:32])
    np.save(tmp_path / "x.npy", images)
    said = invoke("predict", run, tmp_path / "x.npy", "--device", "cpu", "--json")
    expected = [x["class"] for x in json.loads(said.stdout.splitlines()[-1])["predictions"]]
    images.tofile(tmp_path / "x.bin")
    lines = classify(folder, tmp_path / "x.bin").stdout.splitlines()
    assert [line.split()[2] for line in lines] == expected
    assert len(set(expected)) > 1, "classes that say nothing"
    error = fails("export", run, "--c", folder)
    assert error.endswith(f"folder {folder}: is not empty; nothing was changed in it")


def test_the_command_without_a_form(tmp_path: Path) -> None:
    assert "nothing to write" in fails("export", tmp_path)
