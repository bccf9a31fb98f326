"""A kernel that never ends: one clear error, and the process ends; a slow one is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyopencl as cl
import pytest

from gradproof.runtime import watchdog as watchdog_module
from gradproof.runtime.device import Device, open_device
from gradproof.runtime.errors import ArgumentError, DeviceHangError
from gradproof.runtime.watchdog import SECONDS, VARIABLE, Watchdog, limit

ROOT = Path(__file__).resolve().parents[1]
# waits until a number that the host can change is above k
SPIN = """
kernel void spin(global volatile int *number, int k) { while (number[0] <= k); }
"""
PRELUDE = f"""
import numpy as np, gradproof as gp
from gradproof.runtime.errors import DeviceHangError
device = gp.use_device("cpu")
spin = device.build({SPIN!r}, ("-cl-std=CL1.2",), ("spin",), label="spin.cl")["spin"]
number = device.pool.allocate(256)
device.copy(number, np.zeros(64, np.int32), "number")
spin.set_args(number, np.int32(0))
"""


def started(code: str, *args: object, seconds: float = 1.0) -> subprocess.Popen[str]:
    """A new process in which a kernel may hang."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *map(str, args)],
        env={**os.environ, VARIABLE: str(seconds)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its status and output; it is killed where it does not end by itself."""
    try:
        printed, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    return process.returncode, printed, errors


def test_a_kernel_that_hangs_is_one_error_and_the_process_ends() -> None:
    status, printed, errors = ended(
        started("""
            big, x = device.pool.zeros(3 << 20, "memory"), gp.tensor([1.0, 2.0])
            device.launch(spin, (1,), (1,), "body.0 (Conv2d)")
            for use in (x.numpy, device.synchronize, lambda: gp.tensor([1.0]), device.pool.trim):
                try:
                    use()
                except DeviceHangError as error:
                    print(error)
            del big, x, number  # what gives memory back does not wait either
            print("the program goes on")
        """)
    )
    assert "Traceback" not in errors
    *lines, last = printed.splitlines()
    assert last == "the program goes on"
    assert len(lines) == 4
    assert len(set(lines)) == 1
    assert lines[0].startswith("kernel spin (body.0 (Conv2d)): ")
    assert "has not ended it in 1 s" in lines[0]
    assert f"set {VARIABLE} to more seconds, or to 0" in lines[0]
    assert status == watchdog_module.EXIT


@pytest.mark.slow
def test_a_training_whose_kernel_hangs_keeps_its_checkpoint(tmp_path: Path) -> None:
    data, out = tmp_path / "bars.npz", tmp_path / "run"
    labels = np.arange(30) % 3
    images = np.random.default_rng(0).uniform(size=(30, 8, 8)).astype(np.float32)
    np.savez(data, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    hang = """
        import sys
        from gradproof.cli import main
        from gradproof.runtime.device import Device
        from gradproof.runtime.step import TrainingStep
        launch, step, steps = Device.launch_all, TrainingStep.__call__, []

        def launch_all(self, launches, words=()):
            hung = [(spin, (1,), (1,))] if len(steps) == 6 else []
            if hung:  # not before: a driver may compile within the first launch of a kernel
                self.watchdog.seconds = 3.0
            launch(self, [*launches, *hung], [*words, "kernel spin, the last of the step"])

        def call(self, *batch):
            steps.append(1)
            return step(self, *batch)

        Device.launch_all, TrainingStep.__call__ = launch_all, call
        main.app(sys.argv[1:], prog_name="gradproof")
    """
    options = ["--epochs", 3, "--batch-size", 8, "--device", "cpu", "--out", out]
    status, printed, errors = ended(started(hang, "train", data, *options, seconds=600))
    assert status == 2, errors
    assert "Traceback" not in errors
    last = out / "checkpoints" / "step-00000004.safetensors"
    (message,) = (x for x in errors.splitlines() if x.startswith("error: "))
    assert f"training stopped in epoch 2, batch 2 of 4 (last checkpoint: {last})" in message
    assert "kernel spin, the last of the step: " in message
    assert f"train --resume {out}" in printed
    again = ended(started(hang.replace("== 6", "< 0"), "train", "--resume", out, seconds=600))
    assert again[0] == 0, again[2]
    assert "Resumed  after 1 epochs" in again[1]


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent otherwise on Windows")
def test_ctrl_c_ends_a_wait_for_a_kernel_that_hangs() -> None:
    process = started(
        """
            device.launch(spin, (1,), (1,))
            print("waiting", flush=True)
            device.synchronize()
        """,
        seconds=600,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    status, _, errors = ended(process)
    assert "KeyboardInterrupt" in errors
    assert status == watchdog_module.EXIT


@pytest.fixture
def number() -> np.ndarray:
    """A page that a kernel on a CPU and the host both see."""
    raw = np.zeros(2048, np.int32)
    start = (-raw.ctypes.data % 4096) // 4
    return raw[start : start + 1024]


def test_a_slow_device_is_left_alone_as_long_as_kernels_end(number: np.ndarray) -> None:
    device = Device(open_device("cpu").info)
    device.watchdog.seconds = 2.0
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.USE_HOST_PTR
    shared = cl.Buffer(device.context, flags, hostbuf=number)
    kernels = []
    for k in range(12):
        spin = device.build(SPIN, ("-cl-std=CL1.2",), ("spin",))["spin"]
        spin.set_args(shared, np.int32(k))
        kernels.append((spin, (1,), (1,)))

    def let_one_after_the_other_end() -> None:
        while number[0] < 12:
            time.sleep(0.3)
            number[0] += 1

    device.launch_all(kernels[:6])
    for spin, size, group in kernels[6:]:
        device.launch(spin, size, group)
    ending = threading.Thread(target=let_one_after_the_other_end)
    start = time.monotonic()
    ending.start()
    try:
        device.synchronize()
    finally:
        number[0] = 12
        ending.join()
    assert time.monotonic() - start > 2.0


class _Event:
    def __init__(self, status: int, error: Exception | None = None, seconds: float = 0.0) -> None:
        self.command_execution_status, self._error, self._seconds = status, error, seconds

    def wait(self) -> None:
        time.sleep(self._seconds)
        if self._error is not None:
            raise self._error


RUNNING, QUEUED, COMPLETE = 1, 3, 0


def test_the_first_that_has_not_ended_is_named() -> None:
    dog = Watchdog("GPU", seconds=0.2)
    dog.launched.append(([_Event(COMPLETE), _Event(COMPLETE)], ["a", "b"]))
    dog.launched.append(([_Event(COMPLETE), _Event(RUNNING), _Event(QUEUED)], ["c", "d", "e"]))
    with pytest.raises(DeviceHangError, match=r"^d: GPU has not ended it in 0\.2 s"):
        dog.wait(_Event(QUEUED, seconds=1.5))
    with pytest.raises(DeviceHangError):
        dog.check()


def test_many_launches_without_words_are_named_by_their_kernels() -> None:
    dog = Watchdog("GPU", seconds=0.2)
    named = [(SimpleNamespace(function_name=n), (1,), (1,)) for n in "ab"]
    dog.add([_Event(COMPLETE), _Event(RUNNING)], named)
    with pytest.raises(DeviceHangError, match=r"^kernel b: GPU has not ended it"):
        dog.wait(_Event(QUEUED, seconds=1.5))


def test_what_the_driver_raises_comes_to_whoever_waits() -> None:
    dog = Watchdog("GPU", seconds=60.0)
    dog.launched.append((_Event(RUNNING), (None, "")))
    for _ in range(2):  # the thread goes on after an error
        with pytest.raises(KeyError, match="x"):
            dog.wait(_Event(QUEUED, KeyError("x")))
    dog.wait(_Event(QUEUED))


def test_without_a_limit_or_work_nobody_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "_Waiter", None)
    off = Watchdog("GPU", seconds=0.0)
    off.launched.append((_Event(RUNNING), (None, "")))
    for dog in (off, Watchdog("GPU", seconds=1.0)):
        dog.wait(_Event(QUEUED))
        assert not dog.needed()


def test_what_was_waited_for_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dog = Watchdog("GPU", seconds=1.0)
    for _ in range(3):
        dog.launched.append((_Event(RUNNING), (None, "")))
    assert dog.needed()
    dog.wait(_Event(QUEUED))
    assert len(dog.launched) == 1
    monkeypatch.setattr(dog, "_idle", None)
    dog.wait(_Event(QUEUED))
    dog.launched.append((_Event(RUNNING), (None, "")))
    assert dog.needed()


def test_what_has_ended_is_let_go() -> None:
    dog = Watchdog("GPU", seconds=1.0)
    for _ in range(30):
        dog.add([_Event(COMPLETE)], ["a"])
    assert len(dog.launched) <= 8
    for _ in range(30):
        dog.add([_Event(QUEUED)], ["a"])
    assert len(dog.launched) >= 30
    for _ in range(10_000):
        dog.launched.append((_Event(QUEUED), (None, "")))
    assert len(dog.launched) <= 512


def test_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert limit() == SECONDS == 600
    for text, seconds in (("", 600.0), ("0", 0.0), ("2.5", 2.5)):
        monkeypatch.setenv(VARIABLE, text)
        assert limit() == seconds
    info = open_device("cpu").info
    for text in ("-1", "ten", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, text)
        with pytest.raises(ArgumentError, match=rf"{VARIABLE}: '{text}', expected seconds"):
            Device(info)
