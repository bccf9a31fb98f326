"""A device that fails while it is used: one clear error, and a training keeps its checkpoint.

What pyopencl raises is injected where a program calls it, with the codes of real drivers.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyopencl as cl
import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli import main, training
from gradproof.cli.screen import TrainingProgress
from gradproof.runtime import device as device_module
from gradproof.runtime.checkpoint import CheckpointFolder, read_checkpoint
from gradproof.runtime.device import open_device
from gradproof.runtime.errors import (
    BuildError,
    DataError,
    DeviceError,
    DeviceLostError,
    GradproofError,
    OutOfMemoryError,
)
from gradproof.runtime.faults import explained
from gradproof.runtime.progress import BatchResult
from gradproof.runtime.run import RunFolder
from gradproof.runtime.training_state import capture, restore
from tests.bars import save_bars

MEMORY, LOST, OTHER = (-4, -5, -6), (-2, -33, -34, -36, -9999), (-14, -52, -58)
FILL = "kernel void fill(global float *x) { x[get_global_id(0)] = 1; }"


def raised(code: int) -> Exception:
    """What pyopencl raises for a status."""
    kind = {-4: cl.MemoryError, -6: cl.MemoryError}.get(code, cl.RuntimeError)
    kind = cl.LogicError if code <= -30 else kind
    error: Exception = kind(cl._cl._ErrorRecord(msg="injected", code=code, routine="clCall"))
    return error


def raising(code: int) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise raised(code)

    return call


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> device_module.Device:
    """A device of its own, since one that is lost stays so."""
    return device_module.Device(open_device("cpu").info)


@pytest.fixture(autouse=True)
def found_again() -> Iterator[None]:
    yield
    open_device("cpu").watchdog.gone = None


def kernel(device: device_module.Device) -> cl.Kernel:
    made = device.build(FILL, (), ("fill",), label="fill.cl")["fill"]
    made.set_arg(0, device.pool.allocate(256))
    return made


def on_a_gpu(pool: Any) -> Any:
    """As if its memory was not the host's."""
    pool.flags = cl.mem_flags.READ_WRITE
    return pool


# -- what a code means ----------------------------------------------------------------------------
@pytest.mark.parametrize("code", [*MEMORY, *LOST, *OTHER])
def test_each_code_is_one_kind_of_error(code: int) -> None:
    error = explained(raised(code), "GPU 7", "kernel k3_")
    wanted = (
        OutOfMemoryError if code in MEMORY else DeviceLostError if code in LOST else DeviceError
    )
    assert type(error) is wanted
    assert str(error).startswith("kernel k3_: GPU 7")
    if code in MEMORY:
        assert "a smaller batch takes less" in str(error)
    if code in LOST:
        assert "Start the program again" in str(error)


def test_an_error_without_a_code_is_still_a_device_error() -> None:
    assert type(explained(RuntimeError("no"), "GPU", "reading")) is DeviceError


# -- each call ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("code", "kind"), [(-5, OutOfMemoryError), (-36, DeviceLostError)])
def test_a_launch_that_fails_names_the_kernel_and_the_layer(
    device: device_module.Device, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    fill = kernel(device)
    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", raising(code))
    with pytest.raises(kind, match=r"^kernel fill \(conv1\): " + re.escape(device.info.name)):
        device.launch(fill, (64,), (8,), "conv1")


def test_of_many_launches_the_one_that_fails_is_named(
    device: device_module.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = cl.enqueue_nd_range_kernel, []

    def third(*given: Any) -> Any:
        calls.append(given)
        return real(*given) if len(calls) < 3 else raising(-5)()

    launches = [(kernel(device), (64,), (8,))] * 5
    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", third)
    with pytest.raises(OutOfMemoryError, match=r"^kernel fill, the third: "):
        device.launch_all(
            launches, [f"kernel fill, the {n}" for n in ("1st", "2nd", "third", *"ab")]
        )


class _Event:
    """An event with the status of a failure, whose wait raises what drivers give then."""

    command_execution_status = -5

    def wait(self) -> None:
        raise raised(-14)


def test_a_kernel_that_fails_while_it_runs_is_named(
    device: device_module.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, host = kernel(device), np.zeros(4, np.float32)
    buffer = device.pool.allocate(16)
    monkeypatch.setattr(cl, "enqueue_nd_range_kernel", lambda *_: _Event())
    device.launch(fill, (64,), (8,), "conv1")
    monkeypatch.setattr(cl, "enqueue_copy", lambda *_, **__: _Event())
    with pytest.raises(OutOfMemoryError, match=r"kernel fill \(conv1\): .*CL_OUT_OF_RESOURCES"):
        device.copy(host, buffer, "reading")
    with pytest.raises(DeviceError, match=r"^reading: "):  # the kernel's fault is said once
        device.copy(host, buffer, "reading")


@pytest.mark.parametrize("call", ["copy", "synchronize", "build", "kernel", "fill", "queue"])
@pytest.mark.parametrize(("code", "kind"), [(-5, OutOfMemoryError), (-2, DeviceLostError)])
def test_every_call_of_the_driver_ends_in_our_error(
    device: device_module.Device,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    code: int,
    kind: type[Exception],
) -> None:
    buffer, host = device.pool.allocate(16), np.zeros(4, np.float32)
    uses: dict[str, tuple[Any, str, Callable[[], Any]]] = {
        "copy": (cl, "enqueue_copy", lambda: device.copy(host, buffer, "x")),
        "synchronize": (
            device,
            "_queue",
            device.synchronize,
        ),
        "build": (cl.Program, "build", lambda: device.build(f"{FILL}//{code}", (), ("fill",))),
        "kernel": (cl, "Kernel", lambda: device.build(FILL, (), ("fill",))),
        "fill": (cl, "enqueue_fill_buffer", lambda: on_a_gpu(device.pool).zeros(100, "x")),
        "queue": (
            cl,
            "CommandQueue",
            lambda: device_module.Device(device.info).queue,
        ),
    }
    where, name, use = uses[call]
    broken = SimpleNamespace(finish=raising(code)) if name == "_queue" else raising(code)
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(kind) as caught:
        use()
    assert device.info.name in str(caught.value)


def test_memory_that_a_lost_device_does_not_give_is_no_lack_of_it(
    device: device_module.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device.pool, "_take", raising(-36))
    with pytest.raises(DeviceLostError, match=r"batch: .* is lost \(CL_INVALID_COMMAND_QUEUE\)"):
        device.pool.allocate(1 << 20, "batch")


def test_an_event_of_a_lost_device_may_say_nothing(device: device_module.Device) -> None:
    class Silent:
        @property
        def command_execution_status(self) -> int:
            raise raised(-36)

    device.watchdog.launched.append((Silent(), "kernel fill"))
    found = device.watchdog.failed(raised(-36), "reading a tensor")
    assert isinstance(found, DeviceLostError) and device.watchdog.gone is found
    assert str(found).startswith("reading a tensor: ")
    device.watchdog.gone = None
    device.watchdog.launched.clear()


def test_a_lost_device_is_not_asked_again(
    device: device_module.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = device.pool.allocate(16)
    with monkeypatch.context() as broken:
        broken.setattr(cl, "enqueue_copy", raising(-36))
        with pytest.raises(DeviceLostError):
            device.copy(buffer, np.zeros(4, np.float32), "x")
    for use in (device.synchronize, lambda: device.pool, lambda: device.build(FILL, (), ())):
        with pytest.raises(DeviceLostError, match="Start the program again"):
            use()


# -- a training in Python -------------------------------------------------------------------------
def trainer(folder: CheckpointFolder | None = None) -> gp.Trainer:
    gp.manual_seed(0)
    x = np.random.default_rng(0).uniform(size=(24, 1, 4, 4)).astype(np.float32)
    y = (np.arange(24) % 3).astype(np.int32)
    data = gp.data.Dataset("few", x, y, x[:6], y[:6], ("a", "b", "c"))
    model = gp.nn.Sequential(gp.nn.Flatten(), gp.nn.Linear(16, 3))
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    made = gp.Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), data, batch_size=8)
    if folder is not None:
        made.on_step = lambda t: folder.add(capture(t), t.progress.step)
    return made


FAULTS: dict[str, tuple[Any, str, Any, type[Exception]]] = {
    "memory": (cl, "enqueue_nd_range_kernel", raising(-4), OutOfMemoryError),
    "lost": (cl, "enqueue_nd_range_kernel", raising(-36), DeviceLostError),
    "reading": (cl, "enqueue_copy", raising(-5), OutOfMemoryError),
    "arguments": (cl.Kernel, "set_args", raising(-6), OutOfMemoryError),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_trainer_says_where_it_was_and_names_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    (whole := trainer()).fit(epochs=2)
    folder = CheckpointFolder(tmp_path / "checkpoints")
    broken = trainer(folder)
    where, name, call, kind = FAULTS[fault]

    def fail(result: BatchResult) -> None:
        if (result.epoch, result.batch) == (2, 1):
            monkeypatch.setattr(where, name, call)
            broken.optimizer.lr = 0.1 + 1e-9  # so that arguments are set

    broken.on_batch = fail
    with pytest.raises(kind) as caught:
        broken.fit(epochs=2)
    monkeypatch.undo()
    open_device("cpu").watchdog.gone = None
    text = str(caught.value)
    number = 1 if fault == "reading" else 2  # which the checkpoint does before the next step
    assert text.startswith(f"training stopped in epoch 2, batch {number} of 3")
    last = tmp_path / "checkpoints" / "step-00000003.safetensors"
    assert broken.last_checkpoint is not None
    assert f"(last checkpoint: {broken.last_checkpoint})" in text
    assert last in folder.steps()
    again = trainer()
    restore(again, read_checkpoint(last))
    again.fit(epochs=1)
    for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert (a.numpy() == b.numpy()).all()


def test_a_host_without_memory_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError("Unable to allocate 3 GiB")

    broken = trainer()
    broken.on_batch = lambda _: monkeypatch.setattr(gp.Tensor, "copy_", full)
    with pytest.raises(OutOfMemoryError, match=r"batch 2 of 3: the host .* Unable to allocate 3"):
        broken.fit(epochs=1)


# -- a training on the command line ---------------------------------------------------------------
@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bars(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert command("train", data, *OPTIONS, "--out", out).exit_code == 0
    return out


OPTIONS = ("--epochs", 3, "--batch-size", 8, "--device", "cpu")


def command(*args: object) -> Any:
    result = CliRunner().invoke(main.app, [str(a) for a in args], prog_name="gradproof")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def after_step(
    monkeypatch: pytest.MonkeyPatch, place: tuple[int, int], fault: Callable[[], object]
) -> None:
    """Let `fault` happen after the step of this epoch and batch."""

    def on_batch(self: TrainingProgress, result: BatchResult) -> None:
        if (result.epoch, result.batch) == place:
            fault()

    monkeypatch.setattr(TrainingProgress, "on_batch", on_batch)


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def broken_disk(*_: Any) -> None:
    raise OSError(errno.EIO, "Input/output error")


COMMAND_FAULTS = FAULTS | {
    "build": (cl.Program, "build", raising(-11), BuildError),
    "disk": (os, "fsync", no_space, DataError),
    "host memory": (
        gp.Tensor,
        "copy_",
        lambda *_: (_ for _ in ()).throw(MemoryError("3 GiB")),
        GradproofError,
    ),
    "unforeseen": (training, "_captured", broken_disk, OSError),
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(f, marks=[] if f in ("lost", "build") else pytest.mark.slow)
        for f in COMMAND_FAULTS
        if f != "arguments"
    ],
)
def test_a_run_keeps_its_checkpoint_and_says_how_to_go_on(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    out = tmp_path / "run"
    where, name, call, _ = COMMAND_FAULTS[fault]

    early = fault == "build"  # the last batch of an epoch has a plan of its own

    def break_it() -> None:
        open_device("cpu")._programs._programs.clear()
        monkeypatch.setattr(where, name, call)

    after_step(monkeypatch, (1, 1) if early else (2, 1), break_it)
    result = command("train", data, *OPTIONS, "--out", out)
    monkeypatch.undo()
    open_device("cpu").watchdog.gone = None
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (message,) = (x for x in result.stderr.splitlines() if x.startswith("error: "))
    last = out / "checkpoints" / f"step-{0 if early else 4:08d}.safetensors"
    done = {"build": 0, "unforeseen": 2}.get(fault, 1)
    kept = f"epochs 1 to {done} are" if done else "no epoch was completed; its settings are"
    assert f"Stopped: {kept} kept in {out}" in result.stdout
    assert f"Last checkpoint: {last}" in result.stdout
    assert f"Go on from it with: gradproof train --resume {out}" in result.stdout
    if fault in ("memory", "lost", "reading", "build"):
        assert f"training stopped in epoch {1 if early else 2}" in message
        assert str(last) in message
    read_checkpoint(last)
    assert not list(out.rglob(".*")), "a file that was not finished"
    assert command("train", "--resume", out, "--device", "cpu").exit_code == 0
    weights = [(path / "model.safetensors").read_bytes() for path in (out, whole)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (raised(-6), "error: the device failed"),
        (MemoryError("3 GiB"), "error: not enough memory: 3 GiB"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: [Errno 28] No space left"),
    ],
)
def test_what_nobody_expected_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("gradproof.cli.devices.list_devices", fail)
    result = command("devices")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits of a process")
def test_a_row_of_metrics_is_written_as_a_whole_or_not_at_all(whole: Path, tmp_path: Path) -> None:
    import resource

    run = RunFolder(tmp_path, RunFolder.open(whole).config)
    run.go_on(RunFolder.open(whole).history()[:2])
    before = (tmp_path / "metrics.csv").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        with pytest.raises(OSError):
            run._add_row((3, *[0.5] * 9))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "metrics.csv").read_bytes() == before


# -- a disk that is really full -------------------------------------------------------------------
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    path = place / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    return path


def test_a_disk_that_fills_up_leaves_the_last_checkpoint(
    data: Path, whole: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = small_disk / "run"
    after_step(monkeypatch, (2, 1), lambda: fill(small_disk))
    result = command("train", data, *OPTIONS, "--out", out)
    monkeypatch.undo()
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert f"gradproof train --resume {out}" in result.stdout
    assert not list(out.rglob(".*"))
    (small_disk / "filler").unlink()
    read_checkpoint(out / "checkpoints" / "step-00000004.safetensors")
    assert command("train", "--resume", out, "--device", "cpu").exit_code == 0
    weights = [(path / "model.safetensors").read_bytes() for path in (out, whole)]
    assert weights[0] == weights[1]


def test_a_full_kernel_cache_is_said_once_and_the_result_is_right(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GRADPROOF_CACHE_DIR", str(small_disk / "cache"))
    fill(small_disk)
    device = device_module.Device(open_device("cpu").info)
    for text in (FILL, FILL + "\n"):
        made = device.build(text, (), ("fill",))["fill"]
        buffer, host = device.pool.allocate(64), np.zeros(16, np.float32)
        made.set_arg(0, buffer)
        device.launch(made, (16,), (1,))
        device.copy(host, buffer, "x")
        assert (host == 1).all()
    (said,) = (r.getMessage() for r in caplog.records)
    assert "No space left" in said
    assert "set GRADPROOF_CACHE_DIR" in said
    assert not list(small_disk.rglob("*.tmp"))
