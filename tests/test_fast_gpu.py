"""The schedules for GPUs: exact on integers on the CPU device, clean under Oclgrind, compiled for
NVIDIA and AMD without spills."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from benchmarks import gpu_offline
from gradproof.codegen.fast import gpu_vector
from gradproof.codegen.fast.fitting import local_elements
from gradproof.codegen.fast.gpu_contraction import (
    gpu_contraction_kernels,
    gpu_contraction_layouts,
)
from gradproof.codegen.fast.gpu_tiles import Product, Tile, tile_for
from gradproof.codegen.fast.gpu_vector import (
    gpu_moments_kernels,
    gpu_vector_kernel,
    gpu_vector_kernels,
)
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import ENOUGH
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.schedules import schedules
from gradproof.codegen.fast.specialise import specialise
from gradproof.derive.registry import find
from gradproof.derive.system import derive
from gradproof.runtime import plan as plans
from gradproof.runtime.device import list_devices, open_device
from gradproof.runtime.step import TrainingStep
from tests import test_fast_vector as vectors
from tests.fast_device import Job
from tests.nests import run
from tests.test_fast_contraction import Equation, conv, data, equations

ROOT = Path(__file__).resolve().parents[1]
SMALL = Tile(8, 8, 4, 4, 8)  # 32 x 32, 64 work-items
LARGE = Tile(16, 16, 8, 8, 8)  # 128 x 128, 256 work-items


# -- sums of products ---------------------------------------------------------------------------
def products(
    found: Mapping[str, Equation],
    layouts: Callable[[Equation], dict[str, Layout] | None] | None = None,
    **how: Any,
) -> list[FastKernel]:
    """Every equation in one program, each compared with its nests; returns the kernels."""
    own = {name: e.prefixed(name) for name, e in found.items()}
    tables: dict[str, Layout] = {}
    kernels: list[FastKernel] = []
    for name, e in own.items():
        wanted = (layouts or wished)(e)
        assert wanted is not None, name
        made = gpu_contraction_kernels(f"k_{name}_", e.nests, wanted, **how)
        assert made is not None, name
        kernels += made
        tables |= wanted
    job = Job(kernels, tables)
    arrays = {name: data(e) for name, e in own.items()}
    for one in arrays.values():
        for t, x in one.items():
            job.put(t, x)
    job.run()
    for name, e in own.items():
        want = run(e.nests, e.shapes[e.target], arrays[name])
        assert np.array_equal(job.get(e.target), want), name
    return kernels


def wished(e: Equation) -> dict[str, Layout] | None:
    return gpu_contraction_layouts(e.nests, e.shapes)


def plain(e: Equation) -> dict[str, Layout]:
    """No borders: every read that may lie outside is tested."""
    return {t: Layout.row_major(shape) for t, shape in e.shapes.items()}


@pytest.mark.parametrize(
    "sizes",
    [
        {"S": 2, "H": 9},
        {"S": 3, "D": 2, "P": 2, "H": 8},
        {"G": 2, "OG": 16, "CG": 16, "H": 5, "W": 6},
        {"K": 1, "P": 0, "S": 2},
    ],
    ids=str,
)
def test_convolutions_are_exact(sizes: dict[str, int]) -> None:
    found = conv(**sizes)
    assert set(found) == {"z", "grad_Y", "grad_w"}
    products(found, items=64)


def test_a_border_that_is_missing_is_tested_for() -> None:
    products({"z": conv()["z"], "grad_w": conv()["grad_w"]}, plain, items=64)


def test_other_sums_of_products_are_exact() -> None:
    line = {"N": 3, "G": 1, "CG": 16, "OG": 32, "L": 21, "K": 5, "S": 2, "D": 3}
    cases = {
        **equations("conv1d", **line, PL=4, PR=4),
        **{f"l_{t}": e for t, e in equations("linear", N=5, K=33, O=32).items()},
        **{f"p_{t}": e for t, e in equations("product", I=16, K=7, J=32).items()},
    }
    odd = equations("odd", I=3, K=6, L=20, R=4, Q=32, P=9)
    products(cases | {f"o_{t}": e for t, e in odd.items()}, items=64)


def test_three_axes() -> None:
    sizes = {"N": 2, "G": 1, "CG": 16, "OG": 16, "T": 3, "H": 4, "W": 5}
    sizes |= {f"{k}{axis}": 1 for k in "SD" for axis in "THW"}
    sizes |= {"KT": 2, "KH": 2, "KW": 3, **dict.fromkeys(("PF", "PK", "PT", "PB", "PL", "PR"), 1)}
    products({"z": equations("conv3d", **sizes)["z"]}, items=64)


def test_large_tiles_are_exact() -> None:
    products({"Z": equations("product", I=130, K=20, J=140)["Z"]}, force=LARGE)


@pytest.mark.parametrize(("items", "local"), [(1, 256), (2, 400), (4, 300), (64, 600)])
def test_small_groups_with_little_local_memory_are_exact(items: int, local: int) -> None:
    found = {**conv(S=2), "Z": equations("product", I=19, K=33, J=21)["Z"]}
    for k in products(found, items=items, local=local):
        assert k.local <= items
        assert local_elements(k.text) <= local
    assert gpu_contraction_kernels("k", found["Z"].nests, plain(found["Z"]), local=255) is None


def test_tiles_with_fewer_elements_than_work_items() -> None:
    kernels = products({"z": conv(CG=3, OG=10)["z"]}, force=Tile(4, 64, 4, 4, 8))
    assert "if (item_ < 128)" in kernels[0].text


def test_long_sums_are_cut_in_pieces() -> None:
    found = {"Z": equations("product", I=16, K=1000, J=32)["Z"]}
    first, second = products(found, items=64)
    assert "pieces" in first.note
    assert first.scratch == second.scratch
    tile = tile_for(Product(1, 16, 32, 1000), 64)
    assert tile is not None
    assert first.scratch[0][1] == tile.pieces * 16 * 32


def test_an_epilogue_reads_the_target_and_may_replace_it() -> None:
    e = equations("linear", N=9, K=33, O=32)["z"]
    loops, out = e.nests[0].loops, e.nests[0].out
    y = Access("y", out.subscripts)
    relu = specialise(find("relu"), find("relu").equations[0], {"T": 4})
    assert relu is not None
    then = Nest(y, loops, (out,), (), relu[0].value)
    layouts = plain(e) | {"y": Layout.row_major(e.shapes["z"])}
    for store in (True, False):
        kernels = gpu_contraction_kernels("k", e.nests, layouts, (then,), store, items=64)
        assert kernels is not None
        assert [t for t, written in kernels[-1].tensors if written] == ["z", "y"][1 - store :]
        job = Job(kernels, layouts)
        arrays = data(e)
        for t, x in arrays.items():
            job.put(t, x)
        job.run()
        z = run(e.nests, e.shapes["z"], arrays)
        assert np.array_equal(job.get("y"), np.maximum(z, 0))


def test_products_of_few_rows_are_no_matrix_products() -> None:
    e = equations("depthwise", N=2, C=16, H=7, W=9, K=3)["z"]
    assert gpu_contraction_kernels("k", e.nests, plain(e)) is None


def test_tiles_fit_every_desktop_gpu() -> None:
    for rows in (4, 16, 100, 1000):
        for terms in (9, 300, 30000):
            for items in (64, 128, 256):
                t = tile_for(Product(1, rows, 500, terms), items)
                assert t is not None
                assert t.items == items
                assert 2 * t.depth * (t.rows + t.columns + 8) * 4 <= 32768


# -- everything else ----------------------------------------------------------------------------
ELEMENTS = ("batch_norm", "max_pool2d", "cross_entropy", "softmax", "relu", "adam", "embedding")
TREES = ("batch_norm", "max_pool2d", "softmax_cross_entropy", "conv2d")


@pytest.mark.parametrize(
    ("operators", "items", "long"), [(ELEMENTS, 64, 128), (TREES, 16, 4)], ids=["elements", "trees"]
)
def test_operators_are_exact(
    operators: tuple[str, ...], items: int, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_vector, "LONG", long)
    monkeypatch.setattr(vectors, "vector_kernel", partial(gpu_vector_kernel, items=items))
    assert list(vectors.run_all(vectors.cases(operators), vectors.rows, "float64")) == []


def test_long_sums_are_no_long_chains() -> None:
    """One large term, then 2**17 terms that a chain of additions would lose."""
    n = 1 << 17
    d = find("softmax_cross_entropy")
    nests = specialise(d, d.equations[0], {"N": 1, "C": n})
    assert nests is not None
    (maximum,) = nests
    total = replace_kind(maximum)
    layouts = {t: Layout.row_major(s) for t, s in {"a": (1, n), "m": (1,)}.items()}
    job = Job([gpu_vector_kernel("k", [total], layouts)], layouts)
    x = np.ones((1, n))
    x[0, 0] = 2.0**25
    job.put("a", x)
    job.run()
    assert abs(job.get("m")[0] - (2.0**25 + n - 1)) <= 2048


def replace_kind(n: Nest) -> Nest:
    """The sum of what a nest takes the maximum of."""
    return replace(n, reductions=(replace(n.reductions[0], kind="sum"),))


def test_long_sums_of_few_elements_are_cut_in_pieces() -> None:
    d, known = find("batch_norm"), {"N": 3, "C": 2, "L": 2200}
    backward = derive(d).backward
    assert backward is not None
    e = backward.equation("grad_beta")
    (nest,) = specialise(backward, e, known) or ()
    shapes = {"grad_y": (3, 2, 2200), "grad_beta": (2,)}
    layouts = {t: Layout.row_major(s) for t, s in shapes.items()}
    kernels = gpu_vector_kernels("k", (nest,), layouts, items=32)
    assert [k.groups for k in kernels] == [2 * 3, 1]
    job = Job(kernels, layouts)
    x = np.random.default_rng(0).integers(-3, 4, shapes["grad_y"])
    job.put("grad_y", x)
    job.run()
    assert np.array_equal(job.get("grad_beta"), x.sum((0, 2)))


@pytest.mark.parametrize(("length", "launches"), [(100, 1), (2200, 2)])
def test_moments_keep_a_large_mean(length: int, launches: int) -> None:
    d, sizes = find("batch_norm"), {"N": 4, "C": 3, "L": length}
    mean, var = (specialise(d, e, sizes)[0] for e in d.equations[:2])  # type: ignore[index]
    shapes = {"X": (4, 3, length), "mean": (3,), "var": (3,)}
    layouts = {t: Layout.row_major(s) for t, s in shapes.items()}
    kernels = gpu_moments_kernels("k", mean, var, layouts, items=64)
    assert kernels is not None
    assert len(kernels) == launches
    job = Job(kernels, layouts)
    x = np.random.default_rng(0).normal(3000, 1, shapes["X"]).astype(np.float32)
    job.put("X", x)
    job.run()
    exact = x.astype(np.float64)
    assert np.abs(job.get("mean") - exact.mean((0, 2))).max() <= 3000 * 2.0**-23
    assert np.abs(job.get("var") / exact.var((0, 2)) - 1).max() <= 1e-5


# -- whole steps --------------------------------------------------------------------------------
def small() -> gp.nn.Module:
    nn = gp.nn
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip


def large() -> gp.nn.Module:
    nn = gp.nn
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip


def trained(network: Callable[[], gp.nn.Module], image: int, planned: bool) -> list[Any]:
    """Losses, logits and parameters of three steps; whether all fast kernels were a GPU's."""
    gp.manual_seed(0)
    model = network().double()
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss(), planned=planned)
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 5, 4).astype(np.int32)
    batches = [rng.normal(size=(4, 2, image, image)) for _ in range(3)]
    found = [x for images in batches for x in step(images, labels)]
    for recording in step._whole._known.values():
        if isinstance(recording.tape, plans.PlannedStep):
            local = {x["local"] for x in recording.tape.plan["launches"] if x["kernel"]}
            assert local == {64}
    return found + [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize(
    ("network", "image"), [(small, 4), pytest.param(large, 16, marks=pytest.mark.slow)]
)
def test_a_planned_step_equals_the_recorded_one(
    network: Callable[[], gp.nn.Module], image: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "vector_machine", lambda info, dtype: "gpu 64")
    ours, theirs = trained(network, image, True), trained(network, image, False)
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(np.asarray(a) - b).max() <= 1e-12


def test_machines_are_named() -> None:
    gpu = list_devices()[0]
    assert plans.vector_machine(changed(gpu, 1024)) == "gpu"
    assert plans.vector_machine(changed(gpu, 200)) == "gpu 128"
    cpu = replace(open_device("cpu").info, local_mem=1 << 20, version="x-gnu-znver3")
    assert plans.vector_machine(cpu) == "avx2"
    assert plans.vector_machine(cpu, "float64") == "avx2 131072"
    assert plans._LOCAL == ENOUGH  # runtime/ imports no codegen
    with pytest.raises(ValueError, match="machine 'gpo'"):
        schedules("fast", "gpo")


def changed(info: Any, items: int) -> Any:
    return replace(info, kind="gpu", max_work_group=items, max_work_item_sizes=(1024,))


# -- other tools --------------------------------------------------------------------------------
CHECKED = """
    import tests.fast_device, tests.test_fast_gpu as own
    import pyopencl as cl
    from gradproof.codegen.fast import gpu_vector
    devices = [d for p in cl.get_platforms() if "Oclgrind" in p.name for d in p.get_devices()]
    tests.fast_device.cpu = lambda: cl.Context(devices)
    {change}
    found = own.conv(N=1, CG=4, OG=5, H=5, W=6, S=2)
    own.products(found, items=16, force=own.Tile(4, 4, 4, 4, 8, 2))
    gpu_vector.LONG = 4
    for length in (100, 2200):
        own.test_moments_keep_a_large_mean(length, 1 + (length > 100))
    own.test_long_sums_of_few_elements_are_cut_in_pieces()
    own.vectors.vector_kernel = own.partial(own.gpu_vector_kernel, items=16)
    cases = own.vectors.cases(["batch_norm", "softmax_cross_entropy", "max_pool2d"])
    assert list(own.vectors.run_all(cases, own.vectors.rows, "float32")) == []
    """


def oclgrind(tmp_path: Path, change: str = "") -> tuple[str, str]:
    """What Oclgrind reports of kernels, and what the process says."""
    if not any(info.kind == "simulator" for info in list_devices()):
        pytest.skip("Oclgrind is not installed")
    log = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHECKED).format(change=change)],
        env=os.environ | {"OCLGRIND_LOG": str(log), "OCLGRIND_DATA_RACES": "1"},
        cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    return log.read_text() if log.exists() else "", done.stderr


@pytest.mark.slow
@pytest.mark.oclgrind
def test_no_races_and_nothing_outside(tmp_path: Path) -> None:
    reports, said = oclgrind(tmp_path)
    assert reports.strip() == ""
    assert "Error" not in said


@pytest.mark.slow
@pytest.mark.oclgrind
def test_oclgrind_sees_a_barrier_that_is_missing(tmp_path: Path) -> None:
    change = (
        "import gradproof.codegen.fast.kernel as k, dataclasses as d\n"
        "from tests import fast_device as f\n"
        "old = f.fast_program\n"
        "f.fast_program = lambda *a: old(*a).replace('barrier(CLK_LOCAL_MEM_FENCE);', '')"
    )
    reports, _ = oclgrind(tmp_path, change)
    assert "data race" in reports.lower()


@pytest.mark.skipif(bool(gpu_offline.missing()), reason=gpu_offline.missing() or "-")
def test_kernels_compile_for_gpus_without_spills() -> None:
    e = conv()["grad_w"]
    kernels = gpu_contraction_kernels("k", e.nests, plain(e), force=LARGE)
    assert kernels is not None
    found = gpu_offline.reports(fast_program(kernels, False), fast_options("float32"))
    assert gpu_offline.AMD in found
    for target, report in found.items():
        assert report["k0"]["spilled"] == 0, target
        assert 64 < report["k0"]["registers"] <= 255, target
