"""C text of scalar expressions, in 16 lanes and alone, run on the CPU device."""

from __future__ import annotations

import numpy as np
import pyopencl as cl
import pytest
import sympy as sp

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.values import condition_text, lanewise, value_text
from tests.fast_device import cpu

R0, R1, S = sp.symbols("r0 r1 s", real=True)
T = sp.Symbol("t", real=True)  # an integer tensor's element
C = sp.Symbol("c", integer=True)
WHOLE = frozenset({"t"})
EXACT = [
    R0 * R1 / 4 - 3 * S,
    R0**2 + sp.Rational(-5, 2) * R1,
    sp.Piecewise((0, R0 <= 0), (R0, True)),
    sp.Piecewise((R0, S > 1), (R1, True)),
    sp.Piecewise((1, sp.And(R0 > 0, sp.Eq(C - T, 0))), (R1, sp.Or(S < 0, R1 < -2)), (-R0, True)),
    sp.Piecewise((R0, sp.And(S > 1, R1 > 0)), (7, True)),
    C * R0 + T,
    sp.Abs(R0) + sp.sign(R1),
    (-2 * R0 + 2 * R1) * S / 128,
]
CLOSE = [  # of at most 4 operations beside one builtin, each at most 16 ulp (OpenCL's tables)
    (R0 - R1) / 3,
    1 / sp.sqrt(R0**2 + 1),
    R1 * (R0**2 + 1) ** sp.Rational(-3, 2),
    sp.exp(-sp.Abs(R0)),
    sp.log(R0**2 + 1) + S,
    sp.tanh(R0),
    sp.erf(R0 / 4),
    (R0**2 + 1) ** sp.Rational(1, 3),
]


def _kernel(es: list[sp.Expr], name: str, vector: bool) -> FastKernel:
    """out[k][lane] = es[k] for 16 values of each symbol, or one value after another."""
    vectors = frozenset({"r0", "r1", "t"}) if vector else frozenset()
    load = "VECTOR({0}, 0)" if vector else "{0}[i]"
    step = "" if vector else "    for (int i = 0; i < 16; i++) {\n"
    ints = "*(__global const MASKV *)t_" if vector else "t_[i]"
    kind, whole = ("REALV", "MASKV") if vector else ("REAL", "MASK")
    store = "STORED(out, {0}) = {1};" if vector else "out[{0} + i] = {1};"
    body = "".join(
        "    " + store.format(16 * k, value_text(e, {"s": "s_"}, vectors, WHOLE)) + "\n"
        for k, e in enumerate(es)
    )
    text = (
        f"__kernel void {name}(__global REAL *a, __global REAL *b, __global MASK *t_,"
        f" __global REAL *out, REAL s_)\n{{\n    const int c = 3;\n{step}"
        f"    const {kind} r0 = {load.format('a')};\n    const {kind} r1 = {load.format('b')};\n"
        f"    const {whole} t = {ints};\n{body}" + ("" if vector else "    }\n") + "}\n"
    )
    return FastKernel(name, text, (), 1)


@pytest.fixture(scope="module", params=["float32", "float64"])
def results(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """(dtype, inputs, values[vector or not][expression][lane])."""
    dtype, es = request.param, EXACT + CLOSE
    context = cpu()
    queue = cl.CommandQueue(context)
    source = fast_program([_kernel(es, "lanes", True), _kernel(es, "single", False)])
    program = cl.Program(context, source).build(list(fast_options(dtype)))
    rng = np.random.default_rng(1)
    inputs = {
        "r0": rng.integers(-6, 7, 16).astype(dtype),
        "r1": rng.integers(-6, 7, 16).astype(dtype),
        "t": rng.integers(2, 5, 16).astype("int32" if dtype == "float32" else "int64"),
    }
    flags = cl.mem_flags.COPY_HOST_PTR
    buffers = [cl.Buffer(context, flags, hostbuf=x) for x in inputs.values()]
    found = []
    for name in ("lanes", "single"):
        host = np.full((len(es), 16), np.nan, dtype)
        out = cl.Buffer(context, flags, hostbuf=host)
        kernel = cl.Kernel(program, name)
        kernel.set_args(*buffers, out, np.dtype(dtype).type(2))
        cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,))
        cl.enqueue_copy(queue, host, out)
        found.append(host)
    return dtype, inputs, np.array(found)


def _expected(e: sp.Expr, inputs: dict[str, np.ndarray]) -> np.ndarray:
    rows = zip(*[x.astype(int).tolist() for x in inputs.values()], strict=True)
    found = []
    for row in rows:
        values = dict(zip((R0, R1, T), row, strict=True)) | {S: 2, C: 3}
        found.append(float(e.subs(values).evalf(25)))
    return np.array(found)


@pytest.mark.parametrize("k", range(len(EXACT)))
def test_exact(results: tuple[str, dict[str, np.ndarray], np.ndarray], k: int) -> None:
    _, inputs, found = results
    expected = _expected(EXACT[k], inputs)
    assert (found[0][k] == expected).all() and (found[1][k] == expected).all()


@pytest.mark.parametrize("k", range(len(CLOSE)))
def test_builtins(results: tuple[str, dict[str, np.ndarray], np.ndarray], k: int) -> None:
    dtype, inputs, found = results
    expected = _expected(CLOSE[k], inputs)
    bound = 32 * np.finfo(dtype).eps * np.maximum(np.abs(expected), 1)
    for values in found:
        assert (np.abs(values[len(EXACT) + k] - expected) <= bound).all()


def test_nan_is_kept() -> None:
    text = value_text(sp.Piecewise((0, R0 <= 0), (R0, True)), {}, frozenset({"r0"}))
    assert text == "(r0 <= (REAL)0 ? (REALV)((REAL)0) : r0)"  # false for NaN: r0 itself


def test_names_and_conditions() -> None:
    assert value_text(C + R0, {"c": "c_o"}, frozenset()) == "(REAL)c_o + r0"
    conditions = [sp.Eq(C - 1, 0, evaluate=False), sp.Eq(C - T, 0, evaluate=False)]
    text = condition_text(conditions, {}, frozenset({"t"}), WHOLE)
    assert text == "(MASKV)(-(MASK)(c - 1 == 0)) & (c - t == 0)"
    assert condition_text(conditions, {}, frozenset(), WHOLE) == "c - 1 == 0 && c - t == 0"


def test_only_what_is_called_is_defined() -> None:
    assert lanewise(["a = b;"]) == ""
    assert "LANEWISE(exp)" in lanewise(["x = exp_lanes(y);"])
    assert "LANEWISE(log)" not in lanewise(["x = exp_lanes(y);"])


def test_no_text_for_other_functions() -> None:
    with pytest.raises(TypeError):
        value_text(sp.gamma(R0), {}, frozenset())
