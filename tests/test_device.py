"""The choice of a device, its errors, and the context and queue behind it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyopencl as cl
import pytest

from gradproof.runtime import device as device_module
from gradproof.runtime.device import (
    DEVICE_VARIABLE,
    DeviceInfo,
    choose,
    current_device,
    list_devices,
    open_device,
    use_device,
)
from gradproof.runtime.errors import DeviceError, GradproofError

FILL = "kernel void fill(global float *x, float v) { x[get_global_id(0)] = v; }"


def fake(
    index: int, kind: str, platform: str, name: str, version: str = "OpenCL 3.0"
) -> DeviceInfo:
    real = choose("cpu")
    return dataclasses.replace(
        real, index=index, kind=kind, platform=platform, name=name, platform_version=version
    )


@pytest.fixture
def machine(monkeypatch):
    """A machine with a simulator first, two PoCLs, two GPUs and an accelerator."""
    devices = (
        fake(0, "simulator", "Oclgrind", "Oclgrind Simulator"),
        fake(1, "cpu", "Portable Computing Language", "cpu-x", "OpenCL 3.0 PoCL 3.1"),
        fake(2, "cpu", "Portable Computing Language", "cpu-x", "OpenCL 3.0 PoCL 3.0"),
        fake(3, "accelerator", "FPGA Corp", "board"),
        fake(4, "gpu", "NVIDIA CUDA", "NVIDIA H100"),
        fake(5, "gpu", "NVIDIA CUDA", "NVIDIA T4"),
    )

    def install(*indices: int) -> None:
        chosen = tuple(devices[i] for i in indices or range(6))
        monkeypatch.setattr(device_module, "list_devices", lambda: chosen)

    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    install()
    return install


def run_python(code: str, **environment: str) -> str:
    """The output of a new process, in which OpenCL was not used before."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# --- listing ---


def test_listing_says_what_pyopencl_says():
    infos = list_devices()
    raw = [d for p in cl.get_platforms() for d in p.get_devices()]
    assert [i.index for i in infos] == list(range(len(raw)))
    for info, device in zip(infos, raw, strict=True):
        assert info.name == device.name.strip()
        assert info.max_alloc == device.max_mem_alloc_size
        assert info.max_work_item_sizes == tuple(device.max_work_item_sizes)
        assert info.fp64 == ("cl_khr_fp64" in device.extensions)
        assert (info.kind == "simulator") == ("Oclgrind" in info.platform)


def test_info_is_frozen_and_describes_itself_in_one_line():
    info = choose("cpu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.name = "other"
    assert "\n" not in info.describe()
    assert info.name in info.describe()
    assert info.platform in info.describe()
    assert "1 compute unit," in dataclasses.replace(info, compute_units=1).describe()


def test_no_platform_says_what_to_install(tmp_path):
    code = """
        from gradproof.runtime.device import list_devices, current_device
        from gradproof.runtime.errors import DeviceError
        for call in (list_devices, current_device):
            try:
                call()
            except DeviceError as error:
                print(error)
    """
    nowhere = str(tmp_path / "none.icd")
    lines = run_python(code, OCL_ICD_VENDORS=nowhere).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "no OpenCL platform" in line
        assert "pip install 'pyopencl[pocl]'" in line
        assert "OCL_ICD_VENDORS to the folder of its .icd file" in line
        assert nowhere in line


def test_missing_pyopencl_is_one_clear_error_at_use_not_at_import():
    code = """
        import sys
        sys.modules["pyopencl"] = None
        from gradproof.runtime import device
        try:
            device.choose("cpu")
        except device.DeviceError as error:
            print(error)
    """
    output = run_python(code)
    assert "pyopencl cannot be imported" in output
    assert "pip install 'pyopencl[pocl]'" in output


class _Platform:
    name = "Broken"
    version = "OpenCL 1.2"

    def __init__(self, devices):
        self.devices = devices

    def get_devices(self):
        if self.devices is None:
            raise cl.LogicError(cl._cl._ErrorRecord(msg="no", code=-1, routine="clGetDeviceIDs"))
        return self.devices


def test_platform_without_devices_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(cl, "get_platforms", lambda: [_Platform([])])
    with pytest.raises(DeviceError, match=r"no OpenCL device on the platforms: Broken.*pyopencl"):
        device_module._enumerate.__wrapped__()


def test_broken_platform_is_named_and_hides_no_other(monkeypatch, caplog):
    real = cl.get_platforms()
    monkeypatch.setattr(cl, "get_platforms", lambda: [_Platform(None), *real])
    found = device_module._enumerate.__wrapped__()
    assert [info for info, _ in found] == list(list_devices())
    assert "Broken lists no devices" in caplog.text


def test_custom_devices_are_left_out():
    class Custom:
        type = cl.device_type.CUSTOM

    assert device_module._devices_of(_Platform([Custom()])) == []


# --- choosing ---


@pytest.mark.parametrize(
    ("present", "expected"),
    [((0, 1, 2, 3, 4, 5), 4), ((0, 1, 2, 3), 1), ((0, 3), 3)],
    ids=["gpu first", "then cpu", "then accelerator"],
)
def test_preference(machine, present, expected):
    machine(*present)
    assert choose().index == expected


def test_simulator_is_never_chosen_automatically(machine):
    machine(0)
    with pytest.raises(DeviceError, match=r"only simulators.*'oclgrind'.*\n.*Oclgrind Simulator"):
        choose()
    assert choose("oclgrind").index == 0


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("0", 0),
        (" 3 ", 3),
        ("cpu", 1),
        ("GPU", 4),
        ("accelerator", 3),
        ("simulator", 0),
        ("oclGRIND", 0),
        ("pocl 3.0", 2),
        ("h100", 4),
        ("/ nvidia t4", 5),
    ],
)
def test_spec(machine, spec, expected):
    assert choose(spec).index == expected


@pytest.mark.parametrize("spec", ["6", "-1", "tpu", "", "  ", "H100 NVIDIA"])
def test_unknown_spec_lists_the_devices(machine, spec):
    with pytest.raises(DeviceError, match="device: no device matches") as caught:
        choose(spec)
    assert all(f"[{i}]" in str(caught.value) for i in range(6))


def test_kind_that_is_absent(machine):
    machine(1, 2)
    with pytest.raises(DeviceError, match="no device matches 'gpu'"):
        choose("gpu")


def test_ambiguous_spec_lists_only_the_matches(machine):
    with pytest.raises(DeviceError, match="'nvidia' matches 2 devices") as caught:
        choose("nvidia")
    assert "[4]" in str(caught.value)
    assert "[5]" in str(caught.value)
    assert "[1]" not in str(caught.value)


def test_spec_must_be_text(machine):
    with pytest.raises(DeviceError, match=r"device: got 0, expected text such as '0'"):
        choose(0)


def test_environment_variable(machine, monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "t4")
    assert choose().index == 5
    assert choose("1").index == 1, "an explicit spec wins"
    monkeypatch.setenv(DEVICE_VARIABLE, "")
    assert choose().index == 4, "empty means not set"
    monkeypatch.setenv(DEVICE_VARIABLE, "tpu")
    with pytest.raises(GradproofError, match=f"environment variable {DEVICE_VARIABLE}: no device"):
        choose()
    monkeypatch.setenv(DEVICE_VARIABLE, "nvidia")
    with pytest.raises(DeviceError, match=f"environment variable {DEVICE_VARIABLE}: 'nvidia'"):
        choose()


# --- Device ---


@pytest.fixture
def fresh_current(monkeypatch):
    monkeypatch.setattr(device_module._process, "current", None)


def test_one_device_is_one_context():
    device = open_device("cpu")
    assert open_device(str(device.info.index)) is device
    assert device.context is device.context
    assert device.queue is device.queue
    assert device.pool is device.pool
    assert device.queue.context == device.context
    assert device.info.name in repr(device)


def test_queue_is_in_order():
    properties = open_device("cpu").queue.properties
    assert not properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE


def test_current_device_follows_use_device(fresh_current, monkeypatch):
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert current_device().info.kind == "cpu"
    assert current_device() is open_device("cpu")
    with pytest.raises(DeviceError):
        use_device("no such device")
    assert current_device() is open_device("cpu"), "a failed choice changes nothing"


def test_open_device_leaves_the_current_one(fresh_current):
    open_device("cpu")
    assert device_module._process.current is None


def test_launch_runs_a_kernel():
    device = open_device("cpu")
    kernel = device.build(FILL, (), ("fill",))["fill"]
    buffer = device.pool.allocate(4 * 64)
    kernel.set_arg(0, buffer)
    kernel.set_arg(1, np.float32(2.5))
    device.launch(kernel, (64,), (8,))
    device.synchronize()
    out = np.zeros(64, np.float32)
    cl.enqueue_copy(device.queue, out, buffer)
    assert (out == 2.5).all()


def test_refused_launch_names_kernel_and_sizes():
    device = open_device("cpu")
    kernel = device.build(FILL, (), ("fill",))["fill"]
    with pytest.raises(DeviceError, match=r"kernel fill: .*\(64,\), local size None"):
        device.launch(kernel, (64,))
    kernel.set_arg(0, device.pool.allocate(256))
    kernel.set_arg(1, np.float32(0))
    with pytest.raises(DeviceError, match=r"\(64,\), local size \(7,\).*WORK_GROUP_SIZE"):
        device.launch(kernel, (64,), (7,))


def test_failed_command_is_a_device_error(monkeypatch):
    class Queue:
        def finish(self):
            raise cl.RuntimeError(cl._cl._ErrorRecord(msg="x", code=-14, routine="clFinish"))

    device = device_module.Device(choose("cpu"))
    monkeypatch.setitem(device.__dict__, "_queue", Queue())
    with pytest.raises(DeviceError, match="a command failed"):
        device.synchronize()


def test_device_that_cannot_be_opened(monkeypatch):
    def refuse(devices):
        raise cl.RuntimeError(cl._cl._ErrorRecord(msg="x", code=-2, routine="clCreateContext"))

    monkeypatch.setattr(cl, "Context", refuse)
    with pytest.raises(DeviceError, match="cannot be opened"):
        _ = device_module.Device(choose("cpu")).queue


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "use",
    [
        "device.list_devices()",
        "device.current_device()",
        "parent.context",
        "parent.queue",
        "parent.pool",
        "parent.synchronize()",
        "parent.build('', (), ())",
    ],
)
def test_after_fork_every_use_is_one_clear_error(use):
    code = f"""
        import os
        from gradproof.runtime import device
        parent = device.use_device("cpu")
        if os.fork() == 0:
            try:
                {use}
                os.write(1, b"no error")
            except device.DeviceError as error:
                os.write(1, str(error).encode())
            os._exit(0)
        os.wait()
    """
    output = run_python(code)
    assert "before this process was forked" in output
    assert "spawn" in output


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_before_the_first_use_is_fine():
    code = """
        import os
        from gradproof.runtime import device
        if os.fork() == 0:
            device.open_device("cpu").synchronize()
            os.write(1, b"child works")
            os._exit(0)
        os.wait()
    """
    assert run_python(code) == "child works"
