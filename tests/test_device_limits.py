"""A device's limits are stated, kept to, and named in errors: devices with lowered limits, through
eager calls, plans, training and the commands."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyopencl as cl
import pytest
from typer.testing import CliRunner

import gradproof as gp
from benchmarks.portability import offline
from benchmarks.portability.programs import Program, reference_programs
from gradproof.cli import main
from gradproof.codegen.fast import gpu_tiles, gpu_vector
from gradproof.codegen.fast.counts import MOST
from gradproof.codegen.fast.fitting import Limits, check_fits, local_elements
from gradproof.codegen.fast.gpu_tiles import Product, tile_for
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.memory import Need, share
from gradproof.codegen.fast.validate import Unsound
from gradproof.runtime import device as devices
from gradproof.runtime import dispatch, planned_limits
from gradproof.runtime import plan as plans
from gradproof.runtime.binding import LARGEST
from gradproof.runtime.device import Device, choose
from gradproof.runtime.errors import DeviceError, ShapeError
from gradproof.runtime.limits import LIMITS_VARIABLE, lowered
from gradproof.runtime.meta import meta, unset
from gradproof.runtime.plan import plan, planned_data, vector_machine
from gradproof.runtime.planned_memory import COUNTED
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.targets import too_large_target

nn = gp.nn
Small = Callable[[str], Device]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Small:
    """The current device from here on: the CPU with lowered limits."""

    def use(limits: str) -> Device:
        device = Device(lowered(choose("cpu"), limits))
        monkeypatch.setattr(devices._process, "current", device)
        return device

    return use


@pytest.fixture
def as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made as for a GPU with the device's limits."""
    own = vector_machine

    def machine(info: Any, dtype: str = "float32") -> str:
        return own(replace(info, kind="gpu"), dtype)

    monkeypatch.setattr(plans, "vector_machine", machine)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(2, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.fc = nn.Linear(32 * 16, 5)

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return self.fc(self.body(x).flatten(1))


def batch(dtype: type = np.float32) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(8, 2, 8, 8)).astype(dtype), rng.integers(0, 5, 8).astype(np.int32)


def trained(planned: bool = True, dtype: str = "float32") -> list[np.ndarray[Any, Any]]:
    """Losses, logits and parameters of two steps on the current device."""
    gp.manual_seed(0)
    model = Net().to(dtype)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    step = TrainingStep(model, optimizer, nn.CrossEntropyLoss(), planned=planned)
    found: list[Any] = [x for _ in range(2) for x in step(*batch())]
    return [np.asarray(x) for x in (*found, *(p.numpy() for p in model.parameters()))]


def same(a: list[Any], b: list[Any], bound: float) -> None:
    for x, y in zip(a, b, strict=True):
        assert np.abs(x - y).max() <= bound


# -- lowering limits, and stating them -----------------------------------------------------------
def test_limits_are_lowered_and_never_raised() -> None:
    own = choose("cpu")
    most = f"work_group={own.max_work_group + 1}, local_mem=1024GiB, max_alloc=1024GiB, fp64=yes"
    assert lowered(own, most) == own == lowered(own, "")
    found = lowered(own, "work_group=8; local_mem=16KiB; max_alloc=3m; global_mem=1GiB, FP64=no")
    assert (found.max_work_group, found.local_mem, found.max_alloc) == (8, 2**14, 3 * 2**20)
    assert max(found.max_work_item_sizes) == 8
    assert not found.fp64
    assert found.lowered == ("work_group", "local_mem", "max_alloc", "global_mem", "fp64")
    narrow = lowered(own, "address_bits=32")
    assert max(narrow.max_alloc, narrow.global_mem) < 2**32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group=8", "'group' is no limit; there are work_group, local_mem"),
        ("fp64=no, fp64=no", "'fp64' is given twice"),
        ("fp64=0", "fp64=0, expected yes or no"),
        ("local_mem=0", "local_mem=0, expected a positive whole number of bytes"),
        ("local_mem=-1", "local_mem=-1, expected"),
        ("work_group=1KiB", "work_group=1kib, expected a positive whole number$"),
        ("max_alloc", "max_alloc=, expected"),
        ("address_bits=16", "address_bits=16, expected 32 or 64"),
    ],
)
def test_limits_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(DeviceError, match=f"{LIMITS_VARIABLE}: {message}"):
        lowered(choose("cpu"), text)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """The environment variable, as a new process would read it."""
    own = devices._enumerate()

    def lower(text: str) -> None:
        found = tuple((lowered(info, text), device) for info, device in own)
        monkeypatch.setattr(devices, "_enumerate", lambda: found)
        monkeypatch.setattr(devices._process, "devices", {})
        monkeypatch.setattr(devices._process, "current", None)

    return lower


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(main.app, list(arguments), prog_name="gradproof")
    assert result.exit_code == code, result.output
    return result


def test_devices_states_every_limit(limited: Callable[[str], None]) -> None:
    plain = run("devices").output
    for word in ("work-group", "local memory", "largest allocation", "addresses", "subgroups"):
        assert word in plain
    assert "lowered" not in plain
    limited("local_mem=16KiB, fp64=no")
    told = " ".join(run("devices").output.split())
    assert "16 KiB for a work-group" in told
    assert "no: float64 is an error" in told
    assert f"local memory of a group, double precision, by {LIMITS_VARIABLE}" in told
    result = json.loads(run("devices", "--json").stdout)
    assert all(d["lowered"] == ["local_mem", "fp64"] for d in result["devices"])


# -- work-group size and local memory ------------------------------------------------------------
@pytest.mark.parametrize("limits", ["work_group=3", "work_group=32,local_mem=1KiB"])
def test_eager_and_cpu_plans_fit_any_group(limits: str, small: Small) -> None:
    want = trained(planned=False)
    device = small(limits)
    launched: list[tuple[int, ...]] = []
    launch = device.launch

    def seen(kernel: Any, size: Any, local: Any = None, *rest: Any) -> Any:
        launched.append(local)
        return launch(kernel, size, local, *rest)

    device.launch = seen  # type: ignore[method-assign]
    same(trained(planned=False), want, 1e-5)
    assert launched
    assert max(local[0] for local in launched) <= device.info.max_work_group
    same(trained(), want, 1e-4)


@pytest.mark.parametrize(
    ("limits", "machine"),
    [
        ("work_group=48, local_mem=8KiB", "gpu 32 2048"),
        ("local_mem=4", "gpu 256 1"),
        pytest.param("work_group=64", "gpu 64", marks=pytest.mark.slow),
        pytest.param("local_mem=2KiB", "gpu 256 512", marks=pytest.mark.slow),
        pytest.param("work_group=4", "gpu 4", marks=pytest.mark.slow),
        pytest.param("work_group=1", "gpu 1", marks=pytest.mark.slow),
        pytest.param("work_group=2, local_mem=512", "gpu 2 128", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("as_gpu")
def test_a_gpu_with_small_groups_gets_other_schedules(
    limits: str, machine: str, small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    want = trained(planned=False)
    device = small(limits)
    assert plans.vector_machine(device.info) == machine
    with caplog.at_level(logging.INFO, logger="gradproof"):
        same(trained(), want, 1e-4)
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("limits: ")]
    assert any("conv2d" in x and "takes its place" in x for x in said), said
    assert len(said) == len(set(said))


@pytest.mark.usefixtures("as_gpu")
def test_nothing_is_said_where_everything_fits(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    small("max_alloc=1GiB")
    with caplog.at_level(logging.INFO, logger="gradproof"):
        trained()
    assert not [r for r in caplog.records if r.getMessage().startswith("limits: ")]


def test_few_elements_of_local_memory_on_a_cpu(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    want = trained(planned=False)
    small("work_group=32,local_mem=1KiB")
    with caplog.at_level(logging.INFO, logger="gradproof"):
        same(trained(), want, 1e-4)
    said = [r.getMessage() for r in caplog.records if "takes its place" in r.getMessage()]
    assert any("elements of local memory, the device has 256;" in x for x in said), said


def test_tiles_fit_whatever_there_is() -> None:
    for items in (1, 2, 4, 8, 32, 256):
        for local in (255, 256, 700, 2048, gpu_tiles.LOCAL):
            for p in (Product(1, 5, 7, 9), Product(2, 300, 500, 3000)):
                t = tile_for(p, items, local)
                if t is None:
                    assert local < 256
                else:
                    assert t.items <= items
                    assert 2 * t.depth * (t.rows + t.columns + 8) <= local


# Faults: a schedule that does not ask for the limits, and one that the check must find.
def test_a_schedule_that_forgets_the_limit_is_found(
    small: Small, monkeypatch: pytest.MonkeyPatch, as_gpu: None
) -> None:
    small("work_group=32, local_mem=1KiB")
    monkeypatch.setattr(gpu_vector, "_sharing", lambda s, items, local: 256)
    with pytest.raises(Unsound, match=r"takes 256 work-items .*device has 32 work-items and 256"):
        trained()


def test_local_memory_is_read_off_the_text() -> None:
    def kernel(*lines: str, local: int = 4) -> FastKernel:
        return FastKernel("k", "\n".join(lines), (), 1, local=local)

    two = kernel(
        "    __local REALV a[2][3]; // [x][y]", "    __local int at[5];", "__local REAL *p;"
    )
    assert local_elements(two.text) == 2 * 3 * 16 + 5
    check_fits([two], Limits(4, 101), "conv2d z")
    for limits in (Limits(3, 101), Limits(4, 100)):
        with pytest.raises(Unsound, match="conv2d z: kernel k takes 4 work-items and 101 elements"):
            check_fits([two], limits, "conv2d z")
    with pytest.raises(Unsound, match="cannot be read"):
        local_elements("__local REAL a[N];")


@pytest.mark.usefixtures("as_gpu")
def test_launches_are_compared_with_the_device(small: Small) -> None:
    """A plan of another device is refused by name before it is built."""
    model, (x, _) = Net(), batch()
    planned = plan(lambda t: model(t), gp.tensor(x))
    info = replace(choose("cpu"), max_work_group=8)
    with pytest.raises(DeviceError, match=r"body\.0 \(Conv2d\): .*groups of 256 work-items.*8 and"):
        planned_limits.check_launches(planned.plan, planned.graph, info)
    info = replace(choose("cpu"), local_mem=64)
    with pytest.raises(DeviceError, match=r"\d+ bytes of local memory, .* at most \d+ and 64"):
        planned_limits.check_launches(planned.plan, planned.graph, info)


@pytest.mark.usefixtures("as_gpu")
def test_a_kernel_that_runs_with_fewer_work_items_is_planned_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where a driver gives a kernel fewer, for its registers."""
    want, own = trained(planned=False), planned_limits.group_limit
    asked: list[int] = []

    def registers(found: Any, dtype: str, device: Device) -> int:
        own(found, dtype, device)  # the real query works here
        asked.append(max(x["local"] for x in found["launches"]))
        return 60 if asked[-1] > 60 else 0

    monkeypatch.setattr(plans, "group_limit", registers)
    with caplog.at_level(logging.INFO, logger="gradproof"):
        same(trained(), want, 1e-4)
    assert asked == [256, 32]
    assert "no more than 60 work-items; planning again" in caplog.text


# -- the largest allocation ----------------------------------------------------------------------
def test_a_result_that_is_too_large_is_named_before_anything_runs(small: Small) -> None:
    device = small("max_alloc=100KiB")
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
    x = gp.tensor(np.ones((1, 1, 70, 70), np.float32))
    launched = []
    device.launch = lambda *_: launched.append(1)  # type: ignore[method-assign, assignment]
    nbytes = 8 * 70 * 70 * 4
    match = (
        rf"0 \(Conv2d\): output of shape \(1, 8, 70, 70\) needs {nbytes} bytes .* allows at most"
        r" 102400 bytes"
    )
    with pytest.raises(DeviceError, match=match):
        model(x)
    # Planned, convolution and ReLU are one kernel, and channels lie in blocks of 16.
    match = (
        rf"1 \(ReLU\): output of shape .*, which lies in {2 * nbytes // 4} elements, needs"
        rf" {2 * nbytes} bytes .* allows at most 102400 bytes"
    )
    with pytest.raises(DeviceError, match=match):
        plan(lambda t: model(t), x)
    assert not launched


def test_a_function_in_a_layer_is_named_with_it(small: Small) -> None:
    class Wide(nn.Module):
        def forward(self, x: gp.Tensor) -> gp.Tensor:
            return gp.functional.matmul(x, x)

    small("max_alloc=1KiB")
    x = gp.tensor(np.ones((10, 10), np.float32))
    Wide()(x)
    x.device.info = replace(x.device.info, max_alloc=399)
    too_large_target.cache_clear()
    with pytest.raises(DeviceError, match=r"matmul in Wide: .*10, 10\) needs 400 bytes"):
        Wide()(x)


def test_a_gradient_that_is_too_large_is_named(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = small("max_alloc=1MiB")
    layer = nn.Linear(64, 64)
    loss = layer(gp.tensor(np.ones((2, 64), np.float32))).sum()
    monkeypatch.setattr(device, "info", replace(device.info, max_alloc=64 * 64 * 4 - 1))
    too_large_target.cache_clear()
    with pytest.raises(DeviceError, match=r"Linear: gradient of weight of shape \(64, 64\) needs"):
        loss.backward()


def test_parameters_and_tensors_that_are_too_large(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small("max_alloc=1MiB")
    with pytest.raises(DeviceError, match=r"tensor of shape \(513, 512\): needs 1050624 bytes"):
        gp.tensor(unset((513, 512), np.dtype(np.float32)))
    monkeypatch.setattr("gradproof.runtime.nn.init.generator", lambda: pytest.fail("drawn"))
    with pytest.raises(DeviceError, match=r"Linear: weight of shape \(99999, 99999\): needs"):
        nn.Linear(99999, 99999)
    with pytest.raises(DeviceError, match=r"Conv2d: weight of shape \(999, 999, 9, 9\): needs"):
        nn.Conv2d(999, 999, 9)
    monkeypatch.undo()


def test_a_packed_operand_that_is_too_large_is_not_packed(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    gp.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=1)
    x = np.random.default_rng(0).integers(-3, 4, (2, 16, 12, 12)).astype(np.float32)
    state = {n: np.round(8 * v) for n, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    want = layer(gp.tensor(x)).numpy()
    small(f"max_alloc={2 * 16 * 12 * 12 * 4}")
    again = nn.Conv2d(16, 16, 3, padding=1)
    again.load_state_dict(state)
    with caplog.at_level(logging.INFO, logger="gradproof"):
        assert np.array_equal(again(gp.tensor(x)).numpy(), want)
    assert "would pack an operand into" in caplog.text


def test_temporaries_are_cut_where_they_exceed_one_allocation(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    want, whole = trained(), planned_memory()
    small(f"max_alloc={whole.temporaries // 2}")
    with caplog.at_level(logging.INFO, logger="gradproof"):
        found = trained()
    for a, b in zip(found, want, strict=True):
        assert np.array_equal(a, b)  # the same kernels on the same values
    assert "of temporaries are cut into allocations" in caplog.text
    cut = planned_memory()
    assert cut.largest <= whole.temporaries // 2 < whole.temporaries <= cut.temporaries


def test_scratch_memory_that_is_too_large_is_done_without(
    small: Small, caplog: pytest.LogCaptureFixture
) -> None:
    """Transformed weights of 36 products for 9 taps, where the weights fit and these do not."""
    gp.manual_seed(0)
    model, x = nn.Conv2d(64, 64, 3, padding=1), np.ones((1, 64, 12, 12), np.float32)
    weights = 4 * 64 * 64 * 9
    whole = plan(lambda t: model(t), gp.tensor(x))
    want = whole(x).numpy()
    assert whole.memory.tensor > 2 * weights
    small(f"max_alloc={2 * weights}")
    gp.manual_seed(0)
    again = nn.Conv2d(64, 64, 3, padding=1)
    with caplog.at_level(logging.INFO, logger="gradproof"):
        planned = plan(lambda t: again(t), gp.tensor(x))
    assert planned.memory.largest <= 2 * weights
    assert "schedules without local memory, which keep less, take their place" in caplog.text
    assert np.abs(planned(x).numpy() - want).max() <= 1e-4


def planned_memory() -> Any:
    gp.manual_seed(0)
    model = Net()
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    step = TrainingStep(model, optimizer, nn.CrossEntropyLoss())
    x, y = batch()
    return planned_data(step.run, gp.tensor(x), gp.tensor(y))[1]


def test_no_place_crosses_a_piece() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        count, piece = int(rng.integers(1, 30)), 4096
        needs = {}
        for k in range(count):
            first = int(rng.integers(0, 20))
            size = int(rng.integers(1, piece + 1))
            size = size if rng.integers(0, 2) else 3000
            key = str(size) * int(rng.integers(0, 2))  # of one layout, so of one size
            needs[f"b{k}"] = Need(size, "real", first, first + int(rng.integers(0, 6)), key)
        found = share(needs, piece=piece)
        for b, (at, size) in found.places.items():
            assert at // piece == (at + size - 1) // piece
            for c, (other, length) in found.places.items():
                if b != c and needs[b].meets(needs[c]):
                    assert at + size <= other or other + length <= at
    crossing = share({"a": Need(3072, "real", 0, 1), "b": Need(3072, "real", 0, 1)}).places
    assert any(at // 4096 != (at + n - 1) // 4096 for at, n in crossing.values())


def test_more_than_the_memory_is_refused(small: Small) -> None:
    small("global_mem=1MiB, max_alloc=1MiB")
    kept = [gp.tensor(np.ones(2**17, np.float32))]
    with pytest.raises(
        DeviceError, match=r"no room for 1048576 bytes.*1048576 bytes \(1.0 MiB\) on"
    ):
        kept.append(gp.tensor(np.ones(2**18, np.float32)))
    del kept[:]
    gp.tensor(np.ones(2**18, np.float32))  # what was freed is given back for it


# -- two devices ---------------------------------------------------------------------------------
def test_operands_of_two_devices_are_refused() -> None:
    other = Device(choose("cpu"))
    a, b = gp.tensor([1.0, 2.0]), gp.tensor([1.0, 2.0], device=other)
    with pytest.raises(DeviceError, match=r"^add: operands are on different devices, .* and "):
        a + b
    relu = gp.functional.relu
    with pytest.raises(DeviceError, match=r"^relu: .* in a step that began on .*plan them apart"):
        gp.plan(lambda x, y: (relu(x), relu(y)), a, b)


@pytest.mark.parametrize(
    ("kind", "group"), [("gpu", 64), ("accelerator", 64), ("simulator", 16), ("cpu", 8)]
)
def test_groups_are_of_the_kind_of_device(kind: Any, group: int) -> None:
    info = replace(choose("cpu"), kind=kind, max_work_group=4096, max_work_item_sizes=(4096,) * 3)
    device: Any = SimpleNamespace(info=info)
    assert dispatch._geometry.__wrapped__(100, device) == ((-(-100 // group) * group,), (group,))


def test_kinds_of_devices() -> None:
    kinds = cl.device_type
    found = [devices._kind("any", k) for k in (kinds.GPU, kinds.CPU, kinds.ACCELERATOR)]
    assert found == ["gpu", "cpu", "accelerator"]
    assert devices._kind("Oclgrind", kinds.GPU | kinds.CPU) == "simulator"


# -- double precision ----------------------------------------------------------------------------
def test_without_double_precision_float64_is_one_error(small: Small) -> None:
    small("fp64=no")
    for make in (
        lambda: gp.tensor(np.ones(3)),
        lambda: gp.tensor([1.0], "float64"),
        lambda: gp.Tensor.empty((3,), "float64"),
        lambda: nn.Linear(2, 2, dtype="float64"),
        lambda: nn.Linear(2, 2).double(),
    ):
        with pytest.raises(DeviceError, match=r"float64, but .* has no double precision"):
            make()
    same(trained(), trained(planned=False), 1e-4)


def bare(source: str, options: tuple[str, ...]) -> str:
    """What a compiler says of a program for a device without any extension; "" for nothing."""
    device = ("-x", "cl", "-cl-std=CL1.2", "-Xclang", "-finclude-default-header", "-Werror")
    without = ("-Xclang", "-cl-ext=-all", "-Wno-unknown-warning-option", "-fsyntax-only", "-")
    command = [offline.CLANG, *device, *options, *without]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.skipif(not shutil.which(offline.CLANG), reason=offline.HOW)
def test_no_kernel_in_float32_needs_an_extension() -> None:
    """No double precision, no half arithmetic, no subgroups, no 64-bit atomics."""
    found = list(reference_programs("float32"))
    for machine in ("avx2", "avx512 4096", "gpu", "gpu 32 1024"):
        x, y = map(gp.tensor, batch())
        model = Net()
        step = TrainingStep(model, gp.optim.Adam(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
        data, _ = planned_data(step.run, x, y, machine=machine)
        options = tuple(data["options"]["float32"])
        found.append(Program(machine, "plan", "float32", data["source"], options, ()))
    for p in found:
        assert bare(p.source, p.options) == "", p.label
    # Faults, in the last of them:
    for line in ("double d = x;", "half h = x;", "uint n = get_sub_group_size();"):
        assert bare(f"{p.source}\nvoid f(float x) {{ {line} }}", p.options), line


# -- 32-bit counts -------------------------------------------------------------------------------
def test_counts_of_planned_kernels_stay_within_32_bits() -> None:
    assert COUNTED == MOST < LARGEST  # runtime/ imports no codegen
    with meta():
        x = gp.tensor(unset((1, 1, 2**16, 2**15 - 70), np.dtype(np.float32)))
        fits, large = nn.ReLU(), nn.Conv2d(1, 1, 3, padding=40)
        assert planned_data(lambda t: fits(t), x)[0]["launches"]
        with pytest.raises(ShapeError, match=r"Conv2d: .*2,?1\d+ .*(count|elements)"):
            planned_data(lambda t: large(t), x)


def test_a_tensor_with_more_elements_than_32_bits_is_refused() -> None:
    with meta():
        x = gp.tensor(unset((2**16, 2**15), np.dtype(np.float32)))
        with pytest.raises(ShapeError, match=r"relu: .* 2147483648"):
            planned_data(gp.functional.relu, x)


# -- commands ------------------------------------------------------------------------------------
def test_commands_say_what_was_replaced(limited: Callable[[str], None]) -> None:
    limited("local_mem=4KiB, max_alloc=64MiB")
    quiet = run("plan", "demo", "--batch", "4")
    assert "decisions by the limits" in quiet.output
    told = run("plan", "demo", "--batch", "4", "--verbose")
    assert "takes its place" in told.output
    limited("max_alloc=64KiB")
    told = run("plan", "demo")
    assert "It does not fit: " in told.output
    assert "allows at most 65536 bytes" in told.output


def test_a_training_that_does_not_fit_is_one_error(
    limited: Callable[[str], None], tmp_path: Any
) -> None:
    limited("max_alloc=200KiB")
    result = run("train", "digits", "--epochs", "1", "--out", str(tmp_path / "run"), code=2)
    (error,) = (x for x in result.stderr.splitlines() if x.startswith("error: "))
    assert "allows at most 204800 bytes" in error
    assert "Traceback" not in result.output
