"""`gradproof selftest` passes here, and fails on kernels that are wrong, with their names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gradproof.cli import selftest as command
from gradproof.cli.main import app
from gradproof.cli.selftest import Plan, check_operator
from gradproof.derive.registry import find
from gradproof.runtime.device import current_device, list_devices
from gradproof.runtime.manifest import Operator, operators
from gradproof.runtime.selftest import run_kernels

ROOT = Path(__file__).parents[1]
PLAN = Plan(cases=6, tiled=1, largest=5, work=1000, dtypes=("float32",))
# operator, what the program says, what the broken one says, the kernel that is wrong
BROKEN = {
    "a sign": ("conv2d", "grad_w[id] = sum0;", "grad_w[id] = -sum0;", "conv2d_grad_w"),
    "a tap": ("conv2d", "DH * i + SH * x - PT", "DH * i + SH * x - PT + 1", "conv2d_z"),
    "an element left out": ("relu", "if (id < T)", "if (id < T - 1)", "relu_z"),
    "a tie": ("max_pool2d", "term > argmax0_value", "term >= argmax0_value", "max_pool2d_z_argmax"),
    "eps": ("batch_norm", "sqrt(eps + var[c]) +", "sqrt(var[c]) +", "batch_norm_grad_X"),
    "a constant": ("dropout", "0xD2511F53u", "0xD2511F55u", "dropout_z"),
    "not C": ("mse", "sum0 /", "sum0 ///", "mse"),
}


def broken(name: str, old: str, new: str) -> Operator:
    operator = operators()[name]
    assert old in operator.source
    return replace(operator, source=operator.source.replace(old, new))


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_kernel_fails_and_is_named(fault):
    name, old, new, kernel = BROKEN[fault]
    outcome = check_operator(find(name), broken(name, old, new), current_device(), PLAN)
    assert outcome.failures
    assert outcome.failures[0].kernel == kernel
    assert kernel in outcome.result


def test_a_broken_tiled_kernel_fails_and_is_named():
    linear = operators()["linear"]
    spec = linear.kernels["linear_z"]
    source = spec.tiled.source.replace("sum0 + b[o]", "sum0 - b[o]")
    assert source != spec.tiled.source
    kernels = linear.kernels | {"linear_z": replace(spec, tiled=replace(spec.tiled, source=source))}
    outcome = check_operator(
        find("linear"), replace(linear, kernels=kernels), current_device(), PLAN
    )
    assert [f.kernel for f in outcome.failures] == ["linear_z_tiled"]


def test_a_right_operator_passes_with_all_its_kernels():
    linear = operators()["linear"]
    outcome = check_operator(find("linear"), linear, current_device(), PLAN)
    assert (outcome.failures, outcome.result) == ((), "exact")
    tiled = [k for k in linear.kernels.values() if k.tiled]
    assert outcome.kernels == len(linear.kernels) + len(tiled)


def test_outputs_are_poisoned():
    relu = broken("relu", "if (id < T)", "if (id < 0)")
    data = (relu.without(), {"Y": np.ones(3)}, {"z": np.ones(3)}, {})
    for result in run_kernels(relu, *data):
        assert np.isnan(result.values).all()


# --- the command ---


@pytest.fixture
def few(monkeypatch):
    """The command over a few operators, one of which may be replaced."""

    def install(**changed):
        chosen = {n: operators()[n] for n in ("add", "mse", "relu")} | changed
        monkeypatch.setattr(command, "operators", lambda: chosen)

    install()
    return install


def run(*arguments):
    return CliRunner().invoke(app, ["selftest", "--device", "cpu", *arguments])


def test_the_command_shows_a_table_and_a_verdict(few):
    result = run()
    assert result.exit_code == 0, result.output
    for text in ("relu", "exact", "of bound", "PASSED", "all 8 kernels"):
        assert text in result.output


def test_the_command_fails_with_kernel_sizes_and_values(few):
    few(relu=broken("relu", "Y[i] <= (REAL)0", "Y[i] <= (REAL)1"))
    result = run()
    assert result.exit_code == 1
    for text in ("relu_z", "float32", "computed 0.0, expected 1", "sizes T=", "FAILED"):
        assert text in result.output


def test_the_command_writes_json(few):
    few(relu=broken("relu", "if (id < T)", "if (id < T - 1)"))
    result = run("--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["passed"] is False
    failed = {o["operator"]: o["failures"] for o in report["operators"] if o["failures"]}
    assert list(failed) == ["relu"]
    assert failed["relu"][0]["kernel"] == "relu_z"
    assert failed["relu"][0]["computed"] == "nan"


def test_an_unknown_device_is_one_error():
    result = CliRunner().invoke(app, ["selftest", "--device", "no such thing"])
    assert result.exit_code == 2
    assert "no device matches" in result.output


# --- under Oclgrind, which reports reads and writes outside buffers, and races ---


def under_oclgrind(code: str, log: Path) -> subprocess.CompletedProcess[str]:
    if not any(info.kind == "simulator" for info in list_devices()):
        pytest.skip("Oclgrind is not installed")
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"OCLGRIND_LOG": str(log), "OCLGRIND_DATA_RACES": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.oclgrind
def test_selftest_passes_under_oclgrind_without_a_report(tmp_path):
    code = """
        from gradproof.cli.main import app
        app(["selftest", "--device", "simulator"])
        """
    result = under_oclgrind(code, tmp_path / "log")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "PASSED" in result.stdout
    assert (tmp_path / "log").read_text().strip() == ""


@pytest.mark.oclgrind
def test_oclgrind_reports_a_read_outside_a_buffer(tmp_path):
    code = """
        from dataclasses import replace
        import numpy as np
        from gradproof.runtime.device import use_device
        from gradproof.runtime.manifest import operators
        from gradproof.runtime.selftest import run_kernels
        use_device("simulator")
        relu = operators()["relu"]
        relu = replace(relu, source=relu.source.replace("Y[i])", "Y[i + 1])"))
        list(run_kernels(relu, relu.without(), {"Y": np.ones(3)}, {"z": np.ones(3)}, {}))
        """
    under_oclgrind(code, tmp_path / "log")
    assert "Invalid read of size 4" in (tmp_path / "log").read_text()
