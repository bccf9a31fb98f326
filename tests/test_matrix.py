"""`make matrix`: what it finds, what it calls a failure, and README's table of devices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import matrix
from benchmarks.portability import drivers, offline, record
from benchmarks.portability.building import WARNS, build, build_all
from benchmarks.portability.programs import Program, reference_programs
from gradproof.runtime.device import choose, current_device
from gradproof.runtime.manifest import operators

ROOT = Path(__file__).resolve().parents[1]
RIGHT = "kernel void k(global float *x) { x[0] = 1; }"


# --- README ---


def test_the_table_of_the_readme_is_that_of_the_record() -> None:
    page, rows = (ROOT / "README.md").read_text("utf-8"), record.load(matrix.RECORD)
    assert rows and record.written(page, rows) == page
    for name, row in rows.items():
        assert record.passed(row), name
        assert row["versions"]["gradproof"] and row["machine"]["system"] and row["date"]


def row(**more: Any) -> dict[str, Any]:
    done = {"passed": True, "failures": [], "programs": 2, "kernels": 1100, "cases": 7, "wrong": []}
    found: dict[str, Any] = {"kind": "cpu", "device": "d", "driver": "1", "compile": done}
    return found | {"selftest": done} | more


def test_rows_say_what_was_run_and_what_was_not() -> None:
    assert record.cells("n", row()) == (
        "n", "d, driver 1", "1,100, no warning", "1100 kernels in 7 cases", "untested",
    )  # fmt: skip
    trained = row(training={"passed": True, "accuracy": 0.9944})
    assert record.cells("n", trained)[-1] == "99.4%"
    assert record.cells("n", row(kind="simulator"))[-1] == "too slow"
    memory = {"passed": True, "cases": 1200, "failures": []}
    assert "no memory error in 1,200 more" in record.cells("n", row(memory=memory))[3]
    only = {"kind": "cpu", "device": "d", "driver": "1"}
    assert record.cells("n", only)[2:] == ("untested", "untested", "untested")


def test_failures_show_and_count() -> None:
    bad = {"passed": False, "programs": 5, "kernels": 9, "failures": [{}], "wrong": ["relu"]}
    assert "1 of 5 programs fail" in record.cells("n", row(compile=bad))[2]
    assert "FAILED: relu" in record.cells("n", row(selftest=bad))[3]
    low = matrix._read_training({"test_accuracy": 0.5})
    assert "FAILED: accuracy 50.0%" in record.cells("n", row(training=low))[4]
    for step in ("compile", "selftest", "training", "memory"):
        assert not record.passed(row(**{step: {"passed": False}}))
    assert record.passed(row())


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the page lacks"):
        record.written(f"{record.END}{record.BEGIN}", {})


def test_rows_of_other_devices_stay(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    record.save(path, {"b": row(), "a": row(kind="simulator"), "c": row(kind="gpu")})
    assert list(record.load(path)) == ["c", "b", "a"]
    record.save(path, {**record.load(path), "b": row(driver="2")})
    assert {n: r["driver"] for n, r in record.load(path).items()} == {"a": "1", "b": "2", "c": "1"}


# --- drivers ---


def test_a_driver_that_is_broken_is_a_problem_and_no_device(tmp_path: Path) -> None:
    vendors, scratch = tmp_path / "vendors", tmp_path / "scratch"
    vendors.mkdir()
    scratch.mkdir()
    (vendors / "broken.icd").write_text("/nowhere/libbroken.so\n")
    found, problems = drivers.find_drivers([vendors], scratch)
    assert {f.origin for f in found} == {drivers.WHEEL}
    assert "PoCL from pip" in [f.name for f in found]
    assert problems == []  # the loader passes over a library that is not there


def test_the_library_of_an_environment_is_found_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libintelocl.so").touch()
    (tmp_path / "intel.icd").write_text("/opt/build/lib/libintelocl.so\n")
    (tmp_path / "pocl.icd").write_text("libpocl.so.2\n")
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    found = drivers.libraries([tmp_path])
    assert list(found.values()) == [str(tmp_path / "lib" / "libintelocl.so"), "libpocl.so.2"]


def test_devices_have_the_names_of_the_table() -> None:
    info = choose("cpu")
    here = drivers.Found(info, drivers.WHEEL, ())
    assert here.name == "PoCL from pip"
    assert replace(here, origin="/etc/OpenCL/vendors/pocl.icd").name == "PoCL from Debian"
    gpu = replace(info, platform="NVIDIA CUDA", platform_version="13", name="H100", kind="gpu")
    assert drivers.Found(gpu, "nvidia.icd", ()).name == "H100, NVIDIA CUDA"
    assert here.variables["GRADPROOF_DEVICE"] == str(info.index)


def test_a_process_that_ends_badly_is_a_failure_with_its_words() -> None:
    for step in ("compile", "selftest", "training"):
        done = matrix.run_step(step, {"GRADPROOF_DEVICE": "no such device"}, few=True)
        assert not done["passed"]
        assert "no device matches 'no such device'" in str(done), step
        assert not record.passed(row(**{step: done}))
        record.cells("n", row(**{step: done}))


# --- compiling ---


def test_a_warning_is_a_failure() -> None:
    device = current_device()
    assert build(device, RIGHT, (), ("k",)) == ""
    assert "a compiler says this" in build(device, WARNS, (), ())
    assert build(device, RIGHT, (), ("absent",))
    assert "error" in build(device, RIGHT.replace(";", ""), (), ())


def test_a_program_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [Program("good", "reference", "float32", RIGHT, (), ("k",))]
    wrong.append(Program("bad", "plan", "float32", WARNS, (), ("k",)))
    monkeypatch.setattr("benchmarks.portability.building.programs", lambda *_: iter(wrong))
    found = build_all(current_device())
    assert [f["program"] for f in found["failures"]] == ["bad (plan, float32)"]
    assert (found["passed"], found["programs"], found["kernels"]) == (False, 2, 2)


def test_every_reference_kernel_is_among_them() -> None:
    named = {k for p in reference_programs("float32") for k in p.kernels}
    assert named == {k for op in operators().values() for k in op.kernels}


TARGETS = [t for t in offline.TARGETS if not t.missing()]


@pytest.mark.skipif(not TARGETS, reason=offline.TARGETS[0].missing() or "-")
def test_no_kernel_in_float_needs_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device without: numbers in the text must be float at once."""
    more = ("-Xclang", "-cl-ext=-cl_khr_fp64")
    monkeypatch.setattr(offline, "COMMON", (*offline.COMMON, *more))
    (gelu,) = (p for p in reference_programs("float32") if p.label == "gelu")
    assert offline.compiled(gelu.source, gelu.options, TARGETS[:1])
    without = [o for o in gelu.options if "single-precision" not in o]
    assert len(without) < len(gelu.options)
    with pytest.raises(offline.CompileError, match="double precision constant"):
        offline.compiled(gelu.source, without, TARGETS[:1])


AMD = """
  - .agpr_count:     0
    .args:
      - .name:           Y
    .group_segment_fixed_size: 128
    .name:           relu_z
    .sgpr_count:     14
    .sgpr_spill_count: 1
    .vgpr_count:     9
    .vgpr_spill_count: 2
amdhsa.version:
  - 1
"""


def test_amds_notes_are_read() -> None:
    found = dict(offline.amd_report(f".amdhsa_kernel relu_z\namdhsa.kernels:{AMD}"))
    assert found == {"relu_z": {"registers": 9, "scalars": 14, "spilled": 3, "local": 128}}


@pytest.mark.skipif(not TARGETS, reason=offline.TARGETS[0].missing() or "-")
def test_a_target_names_what_does_not_compile() -> None:
    wrong = Program("bad", "plan", "float32", "kernel void k() { int x = y; }", (), ("k",))
    named = {t.name: t for t in TARGETS}
    for report, log in matrix._compiled(wrong, named).values():
        assert report == {} and "undeclared identifier 'y'" in log


def test_nothing_found_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["matrix.py", "--only", "nothing of this name"])
    assert matrix.main() == 1
    assert "nothing was found" in capsys.readouterr().out


def test_a_driver_that_is_missing_is_said_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = drivers.Found(choose("cpu"), drivers.WHEEL, ())
    monkeypatch.setattr(matrix, "find_drivers", lambda *_: ([here], []))
    monkeypatch.setattr(
        matrix, "run_step", lambda *_: {"passed": True, "programs": 1, "kernels": 1}
    )
    monkeypatch.setattr("sys.argv", ["matrix.py", "--steps", "compile", "--only", "cl,rusticl"])
    assert matrix.main() == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "rusticl on llvmpipe: not installed (apt-get install mesa-opencl-icd)" in said


def test_the_record_is_json_without_paths() -> None:
    text = matrix.RECORD.read_text("utf-8")
    assert json.loads(text)
    assert "/tmp" not in text and "/work" not in text
