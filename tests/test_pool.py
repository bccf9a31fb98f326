"""Device memory: reuse, counting, limits, and what happens when there is none left."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyopencl as cl
import pytest

from gradproof.runtime.device import list_devices, open_device
from gradproof.runtime.errors import DeviceError, ShapeError
from gradproof.runtime.pool import BufferPool, ExactBuffer, _flags


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=dict(os.environ),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def pool():
    device = open_device("cpu")
    return BufferPool(device.context, device.queue)


def test_dropped_buffer_is_used_again(pool):
    buffer = pool.allocate(10_000)
    address = buffer.int_ptr
    del buffer
    assert pool.allocate(9_990).int_ptr == address


def test_buffers_that_are_alive_are_distinct(pool):
    buffers = [pool.allocate(1000) for _ in range(20)]
    assert len({b.int_ptr for b in buffers}) == 20


def test_release_gives_back_at_once(pool):
    buffer = pool.allocate(1000)
    buffer.release()
    assert pool.bytes_in_use == 0


def test_counts(pool):
    assert (pool.bytes_in_use, pool.bytes_held, pool.peak_in_use) == (0, 0, 0)
    a, b = pool.allocate(1000), pool.allocate(5000)
    assert pool.bytes_in_use == 6000
    del a
    assert pool.bytes_in_use == 5000
    assert pool.bytes_held >= 6000
    assert pool.peak_in_use == 6000
    pool.trim()
    assert 5000 <= pool.bytes_held <= 5000 * 1.25
    del b
    pool.trim()
    assert (pool.bytes_in_use, pool.bytes_held, pool.peak_in_use) == (0, 0, 6000)


@pytest.mark.parametrize("nbytes", [1, 255, 256, 257, 4097, 10**6 + 1, 2**20 + 1])
def test_rounding_wastes_at_most_a_quarter(pool, nbytes):
    buffer = pool.allocate(nbytes)
    assert nbytes <= buffer.size <= max(nbytes, 256) * 1.25
    assert pool.bytes_held == buffer.size


@pytest.mark.parametrize("nbytes", [0, -4])
def test_no_bytes_are_an_error(pool, nbytes):
    with pytest.raises(ShapeError, match=f"conv1.weight: {nbytes} bytes asked for"):
        pool.allocate(nbytes, label="conv1.weight")


def test_fraction_of_a_byte_is_an_error(pool):
    with pytest.raises(TypeError):
        pool.allocate(10.5)


def test_too_large_names_what_was_asked_and_both_sizes(pool):
    nbytes = pool.max_alloc + 1
    with pytest.raises(DeviceError, match=rf"fc1.weight: needs {nbytes} bytes.*{pool.max_alloc} b"):
        pool.allocate(nbytes, label="fc1.weight")
    assert pool.bytes_held == 0


def test_the_very_largest_allocation_works(pool):
    """Its size class would be larger than the device allows."""
    buffer = pool.allocate(pool.max_alloc)
    assert buffer.size == pool.max_alloc
    assert isinstance(buffer, ExactBuffer)
    assert pool.bytes_in_use == pool.bytes_held == pool.peak_in_use == pool.max_alloc
    buffer.release()
    buffer.release()
    assert pool.bytes_in_use == pool.bytes_held == 0
    buffer = pool.allocate(pool.max_alloc)
    del buffer
    gc.collect()
    assert pool.bytes_held == 0


def test_reuse_keeps_the_order_of_commands(pool):
    """The second owner's write waits for the first owner's read, without an event."""
    device = open_device("cpu")
    n = 1 << 20
    results = [np.empty(n, np.float32) for _ in range(8)]
    values = [np.full(n, i, np.float32) for i in range(8)]
    for value, result in zip(values, results, strict=True):
        buffer = pool.allocate(4 * n)
        cl.enqueue_copy(device.queue, buffer, value, is_blocking=False)
        cl.enqueue_copy(device.queue, result, buffer, is_blocking=False)
        del buffer
    device.synchronize()
    assert all((r == i).all() for i, r in enumerate(results))
    assert pool.bytes_held <= 4 * n * 1.25


def test_out_of_order_queue_is_refused():
    device = open_device("cpu")
    mode = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
    queue = cl.CommandQueue(device.context, properties=mode)
    with pytest.raises(DeviceError, match="expected an in-order queue"):
        BufferPool(device.context, queue)


def no_memory(*_):
    raise cl.MemoryError(cl._cl._ErrorRecord(msg="none left", code=-4, routine="clCreateBuffer"))


def test_out_of_memory_trims_and_tries_again(pool, monkeypatch):
    free = pool.allocate(10_000)
    del free
    held: list[int] = []
    take = pool._take

    def once(size):
        held.append(pool.bytes_held)
        return take(size) if len(held) > 1 else no_memory()

    monkeypatch.setattr(pool, "_take", once)
    pool.allocate(300)
    assert held[0] > 0
    assert held[1:] == [0]


def test_out_of_memory_twice_is_one_clear_error(pool, monkeypatch):
    kept = pool.allocate(10_000)
    monkeypatch.setattr(pool, "_take", no_memory)
    with pytest.raises(DeviceError, match=r"relu: .* has no room for 3000 bytes.*10000 bytes"):
        pool.allocate(3000, label="relu")
    assert kept.size >= 10_000
    assert pool.bytes_in_use == 10_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
def test_memory_that_really_runs_out():
    code = """
        import resource
        from gradproof.runtime.device import open_device
        from gradproof.runtime.errors import DeviceError
        pool = open_device("cpu").pool
        pool.allocate(1024)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        kept = []
        try:
            while len(kept) < 40:
                kept.append(pool.allocate(2**24, label="activations"))
        except DeviceError as error:
            print(len(kept), error)
    """
    result = run_python(code)
    count, message = result.stdout.split(" ", 1)
    assert 5 < int(count) < 17
    assert message.startswith("activations: ")
    assert "no room for 16777216 bytes (16.0 MiB)" in message


def test_memory_is_taken_at_once_on_a_cpu_and_stays_on_a_gpu():
    class Device:
        def __init__(self, kind):
            self.type = kind

    assert _flags(Device(cl.device_type.CPU)) & cl.mem_flags.ALLOC_HOST_PTR
    assert _flags(Device(cl.device_type.GPU)) == cl.mem_flags.READ_WRITE


def test_exact_pool_neither_rounds_nor_keeps():
    device = open_device("cpu")
    pool = BufferPool(device.context, device.queue, exact=True)
    buffer = pool.allocate(10)
    assert buffer.size == 10
    assert pool.bytes_in_use == pool.bytes_held == 10
    del buffer
    assert pool.bytes_held == 0


def test_simulator_sees_an_access_past_the_requested_size():
    if not any(info.kind == "simulator" for info in list_devices()):
        pytest.skip("Oclgrind is not installed")
    code = """
        from gradproof.runtime.device import open_device
        device = open_device("simulator")
        source = "kernel void k(global float *x) { x[get_global_id(0)] = 1; }"
        kernel = device.build(source, (), ("k",))["k"]
        buffer = device.pool.allocate(12)
        kernel.set_arg(0, buffer)
        device.launch(kernel, (4,), (1,))
        device.synchronize()
    """
    assert "Invalid write of size 4" in run_python(code).stderr


@pytest.mark.parametrize("nbytes", [1, 4096, 3 << 20])
def test_lasting_memory_is_zero_counted_and_given_back(pool, nbytes):
    before = pool.bytes_in_use
    buffer = pool.zeros(nbytes, "plan")
    host = np.ones(nbytes, np.uint8)
    cl.enqueue_copy(pool.queue, host, buffer)
    assert not host.any()
    assert pool.bytes_in_use == before + nbytes
    part = buffer.get_sub_region(0, 1)
    cl.enqueue_fill_buffer(pool.queue, part, np.uint8(1), 0, 1)
    del part, buffer  # waits for the command
    assert pool.bytes_in_use == before


def test_lasting_memory_on_a_simulator_is_zero_too():
    device = open_device("simulator")
    host = np.ones(100, np.uint8)
    cl.enqueue_copy(device.queue, host, device.pool.zeros(100, "plan"))
    assert not host.any()


def test_lasting_memory_that_the_system_refuses_is_one_clear_error(pool, monkeypatch):
    def none(*_):
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr("mmap.mmap", none)
    with pytest.raises(DeviceError, match="has no room for 5000 bytes"):
        pool.zeros(5000, "plan")


def test_bytes_are_counted_while_the_collector_drops_buffers(pool):
    """Buffers in a cycle may be dropped at any allocation of Python's, the count's own too."""

    def leave_a_cycle():
        cycle = [pool.zeros(64, "test") for _ in range(40)]
        cycle.append(cycle)

    before = gc.get_threshold()
    try:
        for k in range(60):
            gc.disable()
            leave_a_cycle()
            gc.set_threshold(gc.get_count()[0] + k % 6)  # at another allocation each time
            gc.enable()
            assert pool.bytes_in_use >= 0
    finally:
        gc.enable()
        gc.set_threshold(*before)
