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
from gradproof.cli.cases import Expected, draw, is_exact
from gradproof.cli.main import app
from gradproof.cli.outcomes import Plan
from gradproof.cli.trials import check_operator
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import operator
from gradproof.derive.registry import find
from gradproof.runtime.compile import compile_definition
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
    assert (outcome.failures, outcome.result, outcome.adjoint) == ((), "exact", "exact")
    tiled = [k for k in linear.kernels.values() if k.tiled]
    assert outcome.kernels == len(linear.kernels) + len(tiled)


def test_outputs_are_poisoned():
    relu = broken("relu", "if (id < T)", "if (id < 0)")
    data = (relu.without(), {"Y": np.ones(3)}, {"z": np.ones(3)}, {})
    for result in run_kernels(relu, *data):
        assert np.isnan(result.values).all()


def test_forward_and_backward_are_checked_against_each_other(monkeypatch):
    """Without any comparison with the definition, a wrong gradient breaks the identity."""
    monkeypatch.setattr(Expected, "first_difference", lambda *_: None)
    monkeypatch.setattr(Expected, "share_of_bound", lambda *_: 0.0)
    for fault in ("a sign", "a tap"):
        name, old, new, _ = BROKEN[fault]
        outcome = check_operator(find(name), broken(name, old, new), current_device(), PLAN)
        assert outcome.adjoint == "BROKEN"
        words = outcome.failures[0].error
        assert "the adjoint identity is broken: <J v, u> is" in words
        assert "conv2d_grad_" in outcome.failures[0].kernel


BESIDE = {  # outputs that have no gradient
    "a count": "loss = sum[n](x[n]**2)\nmore = sum[n](where(x[n] > 0, 1, 0))",
    "a position": "loss = max[n](x[n])\nmore = argmax[n](x[n])",
}


@pytest.mark.parametrize("name", BESIDE)
def test_outputs_without_a_gradient_are_tried_beside_others(name):
    d = operator("tried", BESIDE[name], {"x": "N"}, outputs=("loss", "more"))
    outcome = check_operator(d, compile_definition(d), current_device(), PLAN)
    assert (outcome.failures, outcome.adjoint) == ((), "exact")


def test_an_operator_that_rounds_says_how_far_the_identity_is_off():
    outcome = check_operator(find("mse"), operators()["mse"], current_device(), PLAN)
    assert outcome.adjoint.endswith("% of bound")


# --- random cases for any definition ---

UNSIGNED = {"scalars": {"k": "uint"}}
DEFINITIONS = {
    "a negative third": (
        "z[i] = x[i]*x[i-2]/(-3)",
        {"x": "N", "z": "N"},
        {"outside": {"x": "zero"}},
    ),
    "a third taken away": ("z[i] = 2 - 1/3 - x[i]", {"x": "N"}, {}),
    "an unsigned factor": ("z[i] = k*x[i]", {"x": "N"}, UNSIGNED),
    "uniform numbers": ("z[i] = x[i]*philox(k, 0, i, 0)/4294967296", {"x": "N"}, UNSIGNED),
    "a number beyond C's": ("z[i] = x[i]/(x[i]**2 + 1e-45) + 1e20", {"x": "N"}, {}),
    "logarithms": ("z[i] = log(x[i]) + log(1 - x[i])", {"x": "N"}, {}),
    "a root of a product": ("z[i] = sqrt(x[i] * y[i])", {"x": "N", "y": "N"}, {}),
    "a quotient": ("z[i,j] = x[i] / y[j]", {"x": "N", "y": "M"}, {}),
    "entropy": ("h[n] = sum[c](p[n,c] * log(p[n,c]))", {"p": "N, C"}, {}),
    "high powers": ("z[n] = sum[i](x[n,i]**6)**2", {"x": "N, I"}, {}),
    "sizes that are equal": (
        "z[i] = x[i] + y[i]",
        {"x": "N", "y": "M", "z": "N"},
        {"requires": {"M >= N": "M is less", "N >= M": "N is less"}},
    ),
    "many sizes": (
        "z[a,b,c,d] = sum[e,f,g,h](w[a,b,c,d,e,f,g,h])",
        {"w": "A, B, C, D, E, F, G, H"},
        {},
    ),
    "a tight condition": (
        "z[x] = sum[i:K](Y[S*x + D*i - P])",
        {"Y": "H", "z": "X"},
        {
            "sizes": {"X": "(H + 2*P - D*(K - 1) - 1)//S + 1"},
            "integers": "P",
            "requires": {"H + 2*P - D*(K - 1) - 1 >= 0": "short", "P + H >= 7": "small"},
            "outside": {"Y": "zero"},
        },
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_gets_valid_cases(name):
    text, tensors, more = DEFINITIONS[name]
    d = operator("tried", text, tensors, **more)
    for seed in range(5):
        case, truth = draw(d, np.random.default_rng(seed), 6, 1000, "float32")
        assert all(a.size for a in case.operands.values())
        for e in truth.values():
            assert np.isfinite(np.array(e.values, float)).all()
            assert e.errors is None or np.isfinite(e.errors).all()


def test_sums_beyond_the_significand_are_not_called_exact():
    d = operator("tried", "z[n] = sum[i](x[n,i]**6)**2", {"x": "N, I"})
    rng = np.random.default_rng(0)
    bounds = [draw(d, rng, 6, 1000, "float32")[1]["z"].errors is not None for _ in range(20)]
    assert is_exact(d)
    assert any(bounds)


def test_what_has_no_value_anywhere_says_why():
    d = operator("tried", "z[i] = log(0 * x[i] - 1 - x[i]**2)", {"x": "N"})
    with pytest.raises(DefinitionError, match="no valid data in 400 tries: log of a number"):
        draw(d, np.random.default_rng(0), 4, 100, "float32")


def test_conditions_that_no_sizes_meet_say_why():
    requires = {"N >= 3": "too few", "2 >= N": "too many"}
    d = operator("tried", "z[i] = x[i]", {"x": "N"}, requires=requires)
    with pytest.raises(DefinitionError, match="no sizes up to 6 in 200 steps: too"):
        draw(d, np.random.default_rng(0), 6, 100, "float32")


def test_numbers_that_are_not_finite_have_no_share_of_a_bound():
    e = Expected(np.array([1.0, 2.0], object), np.array([0.5, 0.5]))
    assert e.share_of_bound(np.array([np.nan, np.inf])) == 0.0
    assert e.share_of_bound(np.array([1.25, 2.0])) == 0.5


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


OWN = """
import gradproof as gp
scaled = gp.operator("scaled", "z[i] = a * x[i]", {"x": "N"}, scalars={"a": "real"})
distance = gp.operator("distance", "r = sqrt(sum[i](x[i]**2))", {"x": "N"})
"""


def test_the_command_checks_a_users_file(tmp_path):
    path = tmp_path / "my_op.py"
    path.write_text(OWN)
    result = run(str(path), "--json")
    assert result.exit_code == 0, result.output
    found = {o["operator"]: o for o in json.loads(result.stdout.splitlines()[-1])["operators"]}
    assert list(found) == ["scaled", "distance"]
    assert found["scaled"]["adjoint"] == "exact"
    assert found["distance"]["adjoint"].endswith("of bound")
    one = run(f"{path}:scaled")
    assert "distance" not in one.output


def test_the_command_checks_one_shipped_operator():
    result = run("relu")
    assert result.exit_code == 0, result.output
    assert "all 2 kernels" in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [("x = 1", "no operator"), ("1 +", "SyntaxError"), (None, "no such file")],
)
def test_a_file_without_operators_is_one_error(tmp_path, text, words):
    path = tmp_path / "my_op.py"
    if text:
        path.write_text(text)
    result = run(str(path))
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output


def test_a_definition_without_cases_fails_and_says_why(tmp_path):
    path = tmp_path / "my_op.py"
    path.write_text(
        "import gradproof as gp\nop = gp.operator('op', 'z[i] = log(-1 - x[i]**2)', {'x': 'N'})\n"
    )
    result = run(str(path))
    assert result.exit_code == 1
    assert "no case: op: no valid data in 400 tries" in result.output


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
        timeout=900,
        check=False,
    )


@pytest.mark.oclgrind
@pytest.mark.parametrize("operator", ["max_pool2d", pytest.param("", marks=pytest.mark.slow)])
def test_selftest_passes_under_oclgrind_without_a_report(tmp_path, operator):
    code = f"""
        from gradproof.cli.main import app
        app(["selftest", *"{operator}".split(), "--device", "simulator"])
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
