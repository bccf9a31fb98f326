"""The derivation is what runs: change a forward definition, and its gradients change with it.

For a bilinear operator the gradient is right exactly when <conv(Y, w), g> = <Y, dY> = <w, dw> for
all Y, w and g. With small integers every product and sum is exact in floating point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from gradproof.codegen.program import Program, build_program
from gradproof.derive.language import Definition, operator
from gradproof.derive.registry import find
from gradproof.runtime.autograd import apply
from gradproof.runtime.manifest import KernelSpec, Operator, parse_operator
from gradproof.runtime.schedule import schedule
from gradproof.runtime.tensor import tensor

EQUATION = (
    "z[n,o,x,y] = sum[c,i,j](w[o,c,i,j] * Y[n, o//OG*CG + c, {row}, SW*y + DW*j - PL]) + b[o]"
)
PLAIN = "SH*x + DH*i - PT"
# name -> the row that is read, and the number of padded rows that the windows span
CHANGES = {
    "dilation 1": ("SH*x + i - PT", "H + PT + PB - KH"),
    "flipped tap": ("SH*x + DH*(KH - 1 - i) - PT", "H + PT + PB - DH*(KH - 1) - 1"),
    "padding twice": ("SH*x + DH*i - 2*PT", "H + 2*PT + PB - DH*(KH - 1) - 1"),
    "shifted by one": ("SH*x + DH*i - PT + 1", "H + PT + PB - DH*(KH - 1) - 1"),
    "no stride": ("x + DH*i - PT", "H + PT + PB - DH*(KH - 1) - 1"),
}
SIZES = {"SH": 2, "SW": 1, "DH": 2, "DW": 1, "PT": 1, "PB": 2, "PL": 1, "PR": 0}
SHAPES = {"Y": (2, 4, 9, 5), "w": (6, 2, 3, 2), "b": (6,)}  # two groups
ONE_GROUP = SHAPES | {"w": (6, 4, 3, 2)}


def convolution(row: str = PLAIN, span: str = CHANGES["flipped tap"][1]) -> Definition:
    d = find("conv2d")
    return operator(
        d.name,
        EQUATION.format(row=row),
        {"Y": "N, G*CG, H, W", "w": "G*OG, CG, KH, KW", "b": "G*OG", "z": "N, G*OG, OH, OW"},
        sizes={"OH": f"({span})//SH + 1", "OW": "(W + PL + PR - DW*(KW - 1) - 1)//SW + 1"},
        integers="PT PB PL PR",
        requires={f"{span} >= 0": "too tall"},
        outside={"Y": "zero"},
        optional={"b": 0},
        subscripts={"Y": "n k u v"},
    )


def changed(name: str) -> Definition:
    return convolution(*CHANGES[name])


def kernels(p: Program) -> dict[str, str]:
    """Kernel name -> text, from the reference kernels of an operator."""
    parts = p.files[f"{p.name}.cl"].split("__kernel void ")[1:]
    return {part.split("(")[0]: part[: part.index("\n}") + 2] for part in parts}


def loaded(p: Program) -> Operator:
    return parse_operator(p.name, p.entry, p.files)


def products(op: Operator, form: str = "reference") -> Mapping[str, int]:
    """The inner products that must agree, in exact integers."""
    shapes, groups = (SHAPES, 2) if form == "reference" else (ONE_GROUP, 1)
    rng = np.random.default_rng(7)
    data = {n: rng.integers(-3, 4, shape).astype(np.float64) for n, shape in shapes.items()}
    data["b"][:] = 0
    operands = {n: tensor(a, requires_grad=True) for n, a in data.items()}
    with schedule(form):
        z = apply(op, operands, SIZES | {"G": groups}, label="test")["z"]
        g = rng.integers(-3, 4, z.shape).astype(np.float64)
        z.backward(tensor(g))
    found = {"z": np.vdot(z.numpy(), g)}
    for n in ("Y", "w"):
        gradient = operands[n].grad
        assert gradient is not None
        found[n] = np.vdot(data[n], gradient.numpy())
    assert all(value == int(value) and abs(value) < 2**53 for value in found.values())
    return {n: int(value) for n, value in found.items()}


def test_the_definition_written_here_is_the_operator() -> None:
    mine, real = build_program(convolution()), build_program(find("conv2d"))
    assert kernels(mine) == kernels(real)
    found = products(loaded(real))
    assert found["z"] == found["Y"] == found["w"] != 0


@pytest.mark.parametrize("name", CHANGES)
def test_forward_and_gradients_change_together_and_agree(name: str) -> None:
    before, after = build_program(convolution()), build_program(changed(name))
    for kernel in ("conv2d_z", "conv2d_grad_Y", "conv2d_grad_w"):
        assert kernels(before)[kernel] != kernels(after)[kernel], kernel
    assert kernels(before)["conv2d_grad_b"] == kernels(after)["conv2d_grad_b"]
    for form in ("reference", "tiled"):
        found = products(loaded(after), form)
        assert found["z"] == found["Y"] == found["w"] != 0


@pytest.mark.parametrize("name", CHANGES)
def test_the_old_gradients_fail_against_the_changed_forward(name: str) -> None:
    """The check can fail: the original gradient kernels are put under the changed forward."""
    before, after = build_program(convolution()), build_program(changed(name))
    op = loaded(after)
    source = after.files["conv2d.cl"]
    for kernel in ("conv2d_grad_Y", "conv2d_grad_w"):
        old = kernels(before)[kernel]
        for size in set(before.entry["sizes"]) - set(op.sizes):
            old = old.replace(f"SIZE_{size}", str(SIZES[size]))
        source = source.replace(kernels(after)[kernel], old)
        assert old in source
    found = products(with_source(op, source))
    assert found["Y"] != found["z"]
    assert found["w"] != found["z"]


def with_source(op: Operator, source: str) -> Operator:
    """The operator with another program text, its kernels found in it again."""
    text = source.splitlines()

    def moved(spec: KernelSpec) -> KernelSpec:
        first = text.index(f"__kernel void {spec.name}(")
        return replace(spec, lines=(first + 1, text.index("}", first) + 1))

    return replace(op, source=source, kernels={n: moved(k) for n, k in op.kernels.items()})


def test_a_changed_nonlinearity_changes_its_derivative() -> None:
    """The arithmetic of a gradient kernel is the derivative of the forward text, nothing else."""

    def body(equation: str) -> str:
        d = operator("f", equation, {"Y": "T", "z": "T"})
        return kernels(build_program(d))["f_grad_Y"]

    assert "grad_Y[id] = (REAL)2 * Y[i] * grad_z[i];" in body("z[i] = Y[i]**2")
    assert "grad_Y[id] = (REAL)3 * Y[i] * Y[i] * grad_z[i];" in body("z[i] = Y[i]**3")
    assert "grad_Y[id] = exp(Y[i]) * grad_z[i];" in body("z[i] = exp(Y[i])")
