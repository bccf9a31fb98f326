"""Tuning: what is measured, what is kept, and that plans without it stay as they are."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli import tune as command
from gradproof.cli.main import app
from gradproof.codegen.fast import choices as candidates
from gradproof.codegen.fast.choices import Work, cpu_candidates, cpu_kernels
from gradproof.codegen.fast.contraction import contraction_layouts
from gradproof.codegen.fast.machine import AVX2
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.winograd import winograd_layouts
from gradproof.derive.registry import find
from gradproof.runtime import plan as plans
from gradproof.runtime import tuned, tuning
from gradproof.runtime.build import CACHE_VARIABLE
from gradproof.runtime.compile import plans_folder
from gradproof.runtime.device import current_device
from gradproof.runtime.errors import ArgumentError, GradproofError

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(candidates, "TILES", 2)


def network() -> tuple[Callable[[gp.Tensor], gp.Tensor], gp.Tensor, gp.nn.Conv2d]:
    """A step that takes the gradient of a convolution's sum; all numbers are integers, and so are
    those of each schedule: no tile of a transform divides 7 rows."""
    conv = gp.nn.Conv2d(3, 16, 3, padding=1)
    numbers = np.random.default_rng(1)
    for p in conv.parameters():
        p.copy_(numbers.integers(-3, 4, p.shape).astype(np.float32))
    x = gp.tensor(numbers.integers(-3, 4, (2, 3, 7, 8)).astype(np.float32))
    optimizer = gp.optim.SGD(conv.parameters(), lr=1.0)

    def step(t: gp.Tensor) -> gp.Tensor:
        optimizer.zero_grad()
        y = conv(t)
        (y * y).sum().backward()
        optimizer.step()
        return y

    return step, x, conv


def results() -> tuple[Array, Array, list[str]]:
    """What a planned step computes, and the schedules that it uses."""
    step, x, conv = network()
    planned = gp.plan(step, x)
    y = planned(x).numpy()
    return y, conv.weight.numpy(), [launch["note"] for launch in planned.plan["launches"]]


def favouring(wanted: Callable[[str], bool], ratio: float) -> tuning.Clock:
    """A clock on which some variants take `ratio`, all others 1 second."""
    return lambda v: ratio if wanted(v.choice) else 1.0


# -- what is measured ---------------------------------------------------------------------------
def test_a_slower_default_is_replaced_and_results_stay_equal() -> None:
    y, weight, before = results()
    step, x, _ = network()
    seen: list[int] = []
    found = tuning.tune(
        step,
        x,
        rounds=1,
        clock=favouring(bool, 0.5),
        report=lambda number, total, _: seen.append(total - number),
    )
    assert seen == [1, 0]  # the convolution and its weights' gradient
    assert [f.ratio for f in found] == [0.5, 0.5]
    assert all(f.choice.startswith("direct lane") for f in found)
    tuned_y, tuned_weight, after = results()
    assert {f.choice.removeprefix("direct ") for f in found} <= set(after)
    assert after != before
    assert (tuned_y == y).all()
    assert (tuned_weight == weight).all()


def test_what_is_hardly_faster_is_not_kept() -> None:
    before = results()[2]
    step, x, _ = network()
    found = tuning.tune(step, x, rounds=1, clock=favouring(bool, 0.98))
    assert [(f.choice, f.ratio) for f in found] == [("", 1.0)] * 2
    assert tuned.tuned_choices(current_device().info) == {}
    assert results()[2] == before


def test_a_later_measurement_replaces_an_earlier_one() -> None:
    step, x, _ = network()
    tuning.tune(step, x, rounds=1, clock=favouring(bool, 0.5))
    assert len(tuned.tuned_choices(current_device().info)) == 2
    tuning.tune(step, x, rounds=1, clock=favouring(bool, 2.0))
    assert tuned.tuned_choices(current_device().info) == {}


def trial() -> tuple[dict[str, Any], Any, str]:
    step, x, _ = network()
    found, device, dtype = plans.tuning_trials(step, x)
    return found[0], device, dtype


def test_luck_that_does_not_last_is_not_kept() -> None:
    data, device, dtype = trial()
    calls = {"": 0}

    def clock(v: tuning.Variant) -> float:
        calls[v.choice] = calls.get(v.choice, 0) + 1
        return 0.5 if v.choice and calls[v.choice] <= 3 else 1.0

    assert tuning.measure(data, device, dtype, 3, clock).choice == ""
    assert calls[""] == 6  # the winner was timed again, in turn with the default


def test_a_variant_that_leaves_elements_out_is_never_chosen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data, device, dtype = trial()
    default = data["variants"][""]
    half = [k | {"groups": k["groups"] // 2} for k in default["kernels"]]
    broken = {"source": "kernel void k_() {", "kernels": half}
    data["variants"] = {
        "": default,
        "half": default | {"kernels": half},
        "broken": broken,
        "whole": default,
    }
    with caplog.at_level(logging.WARNING):
        found = tuning.measure(data, device, dtype, 1, favouring(bool, 0.5))
    assert found.choice == "whole"
    assert found.candidates == 1
    assert "half is left out: it leaves elements unwritten" in caplog.text
    assert "broken is left out" in caplog.text


def test_the_real_clock_measures_every_candidate() -> None:
    step, x, _ = network()
    found = tuning.tune(step, x, rounds=2)
    assert all(f.seconds > 0 and f.candidates for f in found)
    assert all((f.ratio == 1.0) if not f.choice else (f.ratio < 0.97) for f in found)


def test_arguments_are_checked() -> None:
    step, x, _ = network()
    with pytest.raises(ArgumentError, match="precision='half'"):
        tuning.tune(step, x, precision="half")
    with pytest.raises(ArgumentError, match="rounds=0"):
        tuning.tune(step, x, rounds=0)


# -- choices ------------------------------------------------------------------------------------
def convolution(m: int) -> Work:
    """A 3x3 convolution of 16 channels in the layouts of Winograd, or (m = 0) the direct ones."""
    d = find("conv2d")
    sizes = {"N": 2, "G": 1, "CG": 16, "OG": 16, "H": 9, "W": 9, "KH": 3, "KW": 3, "OH": 9, "OW": 9}
    sizes |= dict.fromkeys(("SH", "SW", "DH", "DW", "PT", "PB", "PL", "PR"), 1)
    nests = specialise(d, d.equations[0], sizes)
    assert nests is not None
    shapes = {"z": (2, 16, 9, 9), "Y": (2, 16, 9, 9), "w": (16, 16, 3, 3), "b": (16,)}
    direct = contraction_layouts(nests, shapes)
    found = winograd_layouts(nests[0], shapes, m) if m else direct
    assert found is not None and direct is not None
    return Work(nests, direct | found)


def test_candidates_are_kernels_within_the_precision() -> None:
    w = convolution(4)
    found = cpu_candidates(w, 4, AVX2)
    assert found[:2] == ("winograd 2", "winograd 4")
    assert all(c.startswith("direct lane") for c in found[2:])
    assert len({cpu_kernels("k", w, c, 4, AVX2)[-1].text for c in found}) == len(found)
    assert "winograd 4" not in cpu_candidates(w, 2, AVX2)
    with pytest.raises(ValueError, match="'winograd 4' is none"):
        cpu_kernels("k", w, "winograd 4", 2, AVX2)


@pytest.mark.parametrize("choice", ["", "direct", "direct lane q tile 1", "winograd", "fast 4"])
def test_other_text_is_no_choice(choice: str) -> None:
    with pytest.raises(ValueError):
        cpu_kernels("k", convolution(4), choice, 4, AVX2)


def test_winograd_is_no_choice_in_layouts_without_its_border() -> None:
    with pytest.raises(ValueError, match="'winograd 4' is none"):
        cpu_kernels("k", convolution(0), "winograd 4", 4, AVX2)


def test_a_key_holds_all_that_decides() -> None:
    w = convolution(4)
    keys = {
        w.key("fast", "avx2"),
        w.key("accurate", "avx2"),
        w.key("fast", "avx512"),
        replace(w, store=False).key("fast", "avx2"),
        replace(w, layouts=convolution(2).layouts).key("fast", "avx2"),
        replace(w, also=w.nests).key("fast", "avx2"),
        replace(w, nests=()).key("fast", "avx2"),
    }
    assert len(keys) == 7
    assert convolution(4).key("fast", "avx2") in keys


# -- the file -----------------------------------------------------------------------------------
def test_stale_choices_are_ignored_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    before = results()
    step, x, _ = network()
    data, _, _ = plans.tuning_trials(step, x)
    entry = {"choice": "direct lane none", "seconds": 1.0, "ratio": 0.5}
    tuned.keep(current_device().info, {d["key"]: entry for d in data})
    with caplog.at_level(logging.WARNING):
        after = results()
    warnings = [r.message for r in caplog.records]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 tuned choices are ignored")
    assert after[2] == before[2]
    assert (after[1] == before[1]).all()


ENTRY = {"key": {"choice": "direct x", "seconds": 1.0, "ratio": 0.5}}


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-9],
        lambda b: b.replace(b"direct x", b"direct y"),
        lambda b: b"",
        lambda b: b"[]",
        lambda b: b'{"sha256": "", "device": {}, "entries": 3}',
        lambda b: b"\xff" + b,
    ],
)
def test_a_damaged_file_is_ignored_and_rebuilt(
    damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    info = current_device().info
    tuned.keep(info, ENTRY)
    assert tuned.tuned_choices(info) == {"key": "direct x"}
    path = tuned.tuning_path(info)
    path.write_bytes(damage(path.read_bytes()))
    assert tuned.tuned_choices(info) == {}
    assert "is damaged" in caplog.text
    tuned.keep(info, ENTRY)
    assert tuned.tuned_choices(info) == {"key": "direct x"}


def test_a_choice_that_is_no_text_is_damage(caplog: pytest.LogCaptureFixture) -> None:
    info = current_device().info
    tuned.keep(info, {"key": {"choice": 3}})
    assert tuned.tuned_choices(info) == {}
    assert "a choice is no text" in caplog.text


@pytest.mark.parametrize("part", ["name", "version", "driver", "platform_version"])
def test_the_file_of_another_device_is_ignored(part: str, caplog: pytest.LogCaptureFixture) -> None:
    info = current_device().info
    other = replace(info, **{part: "another"})
    tuned.keep(other, ENTRY)
    assert tuned.tuned_choices(info) == {}
    assert not caplog.records
    tuned.tuning_path(other).replace(tuned.tuning_path(info))  # copied by hand
    assert tuned.tuned_choices(info) == {}
    assert "another" in caplog.text


def test_other_generators_have_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    info = current_device().info
    before = tuned.tuning_path(info)
    monkeypatch.setattr(tuned, "generator", lambda: ["newer"])
    assert tuned.tuning_path(info) != before


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(GradproofError, match="cannot be written"):
        tuned.keep(replace(current_device().info, driver="x"), ENTRY)


def test_two_writers_never_tear_the_file(caplog: pytest.LogCaptureFixture) -> None:
    info = current_device().info

    def write(name: str) -> None:
        for k in range(25):
            tuned.keep(info, {f"{name}{k}": {"choice": name * 1000}})

    writers = [threading.Thread(target=write, args=(n,)) for n in "ab"]
    for w in writers:
        w.start()
    while any(w.is_alive() for w in writers):
        assert all(len(c) == 1000 for c in tuned.tuned_choices(info).values())
    assert tuned.tuned_choices(info)
    assert not caplog.records


def test_plans_are_kept_apart_by_what_was_tuned() -> None:
    info = current_device().info

    def count() -> int:
        step, x, _ = network()
        plans.planned_data(step, x)
        return len(list(plans_folder().iterdir()))

    assert count() == 1
    tuned.keep(info, {"key": {"choice": ""}})  # measured, and the default stays
    assert count() == 1
    tuned.keep(info, ENTRY)
    assert count() == 2


# -- the command --------------------------------------------------------------------------------
def test_the_command_reports_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        tuning.Tuned("k", ("conv2d z", "conv2d z"), "winograd 2", 0.5, 0.5, 3),
        tuning.Tuned("l", ("linear z",), "", 1.0, 1.0, 2),
    )
    given: dict[str, Any] = {}

    def measured(step: Any, *examples: gp.Tensor, **more: Any) -> tuple[tuning.Tuned, ...]:
        given.update(more, shapes=[x.shape for x in examples])
        for k, f in enumerate(found, 1):
            more["report"](k, len(found), f)
        return found

    monkeypatch.setattr(command, "measure_step", measured)
    done = CliRunner().invoke(app, ["tune", "demo", "--batch", "4", "--rounds", "2", "--json"])
    assert done.exit_code == 0, done.output
    assert given["shapes"] == [(4, 1, 8, 8), (4,)]
    assert (given["rounds"], given["precision"]) == (2, "fast")
    assert "conv2d z: winograd 2 (0.50)" in done.stderr
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert (last["works"], last["changed"], last["candidates"]) == (2, 1, 5)
    assert (last["default_seconds"], last["tuned_seconds"]) == (2.0, 1.5)


def test_the_command_refuses_what_it_does_not_know() -> None:
    for given in (["nothing"], ["demo", "--precision", "half"]):
        done = CliRunner().invoke(app, ["tune", *given])
        assert done.exit_code == 2
        assert "error:" in done.stderr
