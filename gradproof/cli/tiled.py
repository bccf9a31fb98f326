"""Tiled kernels against the reference kernels beside them, whose text is proved.

The text of a tiled kernel is bound by its hash and by this comparison: on integers, in double,
every sum of products is exact, and where a kernel divides or takes a root, its data is such that
these are exact too (gradproof/cli/exact_data.py). So both kernels must give the same numbers, bit
for bit, for all sizes, lanes, tiles and partial sums.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.cli.exact_data import MAGNITUDE, draw_elements, draw_scalars, rounds_at
from gradproof.codegen.staged import staged
from gradproof.derive.language import Equation
from gradproof.derive.registry import find
from gradproof.runtime.autograd import PREFIX
from gradproof.runtime.binding import Binding, bind
from gradproof.runtime.device import Device, current_device
from gradproof.runtime.dispatch import execute
from gradproof.runtime.errors import GradproofError, ShapeError
from gradproof.runtime.manifest import KernelSpec, Operator, TiledSpec, Variant, operators
from gradproof.runtime.schedule import Choice, schedule
from gradproof.runtime.selftest import poisoned
from gradproof.runtime.sizes import size_expression
from gradproof.runtime.tensor import Tensor, tensor

TRIES = 5000
LARGEST = 10  # of a size
WORK = 200_000  # multiplications of one case
LANES = (2, 4, 8, 16)
CHUNKS = (1, 2, 3, 512)
REGISTERS = 8  # vectors in a tile
BITS = {"float32": 24, "float64": 53}  # integers below 2^BITS add and multiply without rounding


@dataclass(frozen=True)
class Comparison:
    """What came of comparing one tiled kernel: `sha256` of its text, and where it differs from its
    reference kernel, if it does."""

    operator: str
    kernel: str
    sha256: str
    dtype: str
    cases: int
    difference: str = ""

    @property
    def passed(self) -> bool:
        """Whether all elements were equal in all cases."""
        return not self.difference


def tiled_kernels() -> dict[str, tuple[Operator, Variant, KernelSpec]]:
    """Every kernel that has a tiled form, with the first variant that uses it.

    >>> sorted(tiled_kernels())[-1]
    'linear_z'
    """
    found: dict[str, tuple[Operator, Variant, KernelSpec]] = {}
    for operator in operators().values():
        for variant in operator.variants.values():
            for name in (*variant.forward, *variant.backward):
                if operator.kernels[name].tiled is not None:
                    found.setdefault(name, (operator, variant, operator.kernels[name]))
    return found


def tiled_comparison(
    kernel: str, *, cases: int = 3, seed: int = 0, device: Device | None = None
) -> Comparison:
    """Build the tiled and the reference form of a kernel, run both, compare with ==.

    kernel: the name of the reference kernel. Each of the `cases` has sizes, lanes, tiles and
    partial sums of its own and integers for elements; outputs hold NaN beforehand. In double, or in
    float where the device has nothing else. Errors: GradproofError for a kernel without a tiled
    form; what building and running raise.
    """
    if kernel not in tiled_kernels():
        raise GradproofError(f"{kernel!r} has no tiled form, expected one of {[*tiled_kernels()]}")
    operator, variant, spec = tiled_kernels()[kernel]
    assert spec.tiled is not None
    device = device or current_device()
    dtype = "float64" if device.info.fp64 else "float32"
    rng = np.random.default_rng(seed)
    sha256 = hashlib.sha256(spec.tiled.source.encode()).hexdigest()
    for _ in range(cases):
        binding = _draw(operator, variant, spec, rng)
        choice = _choose(binding, spec.tiled, rng)
        difference = _compare(binding, spec, choice, _data(binding, spec, dtype, device, rng))
        if difference:
            return Comparison(operator.name, kernel, sha256, dtype, cases, difference)
    return Comparison(operator.name, kernel, sha256, dtype, cases)


def tiled_rows(
    section: Mapping[str, Any], comparisons: Iterable[Comparison]
) -> list[dict[str, str]]:
    """The ledger's rows for the texts of tiled kernels, `tested` and not proved.

    section: the record's "tiled" (see codegen/staged.py). A row is "failed" where the text is not
    the recorded one or the numbers differ, and "untested" where no comparison was made.
    """
    made = {c.kernel: c for c in comparisons}
    return [_row(kernel, entry, made.get(kernel)) for kernel, entry in section.items()]


def _row(kernel: str, entry: Mapping[str, Any], c: Comparison | None) -> dict[str, str]:
    row = {"claim": f"S2 {kernel} text", "operator": entry["operator"]}
    if c is None:
        why = "bound by hash; no device compared it with its reference kernel"
        return {**row, "status": "untested", "statement": why}
    if c.sha256 != entry["sha256"]:
        why = f"{entry['file']}: the text is not the one that was recorded"
        return {**row, "status": "failed", "statement": why}
    if not c.passed:
        return {**row, "status": "failed", "statement": c.difference}
    why = f"bound by hash and exact comparison: equal to {kernel} in {c.cases} cases, {c.dtype}"
    return {**row, "status": "tested", "statement": why}


def _draw(
    operator: Operator, variant: Variant, spec: KernelSpec, rng: np.random.Generator
) -> Binding:
    """Sizes that go together and that the tiled form accepts."""
    assert spec.tiled is not None
    reason: object = "too large"
    for _ in range(TRIES):
        sizes = {
            s: int(rng.integers(operator.lower[s], LARGEST + 1))
            if s in operator.lower
            else int(rng.integers(-1, 3))
            for s in operator.sizes
            if s not in operator.derived
        }
        try:
            binding = bind(operator, variant, {}, sizes | dict(spec.tiled.when), spec.name)
        except ShapeError as error:
            reason = error
            continue
        if rounds_at(_equation(operator, spec), binding.sizes):
            reason = "a quotient that rounds"
            continue
        terms = math.prod(size_expression(n)(binding.sizes) for n in spec.tiled.terms)
        if math.prod(binding.shape(spec.target)) * terms <= WORK:
            return binding
    raise GradproofError(f"{spec.name}: no sizes up to {LARGEST} in {TRIES} tries: {reason}")


def _choose(binding: Binding, spec: TiledSpec, rng: np.random.Generator) -> Choice:
    """Lanes, a tile of at most REGISTERS vectors whose sides divide their extents, a chunk."""
    tiles, room = {}, REGISTERS
    for i, extent in rng.permutation(list(spec.tiles.items())).tolist():
        n = size_expression(extent)(binding.sizes)
        tiles[i] = int(rng.choice([t for t in range(1, room + 1) if n % t == 0]))
        room //= tiles[i]
    return Choice(int(rng.choice(LANES)), tuple(tiles.items()), int(rng.choice(CHUNKS)))


@dataclass(frozen=True)
class _Data:
    """What both forms of a kernel are given."""

    operands: Mapping[str, Tensor]
    scalars: Mapping[str, int]
    dtype: str
    device: Device


def _data(
    binding: Binding, spec: KernelSpec, dtype: str, device: Device, rng: np.random.Generator
) -> _Data:
    """Integers for all operands and scalars. Errors: GradproofError where a sum may round."""
    assert spec.tiled is not None
    scalars = draw_scalars(find(binding.operator.name), rng)
    equation = _equation(binding.operator, spec)
    numbers, arrays = {**binding.sizes, **scalars}, {}
    for name in spec.reads:
        shape = _shape(binding, name)
        if _kind(binding, name) == "int":
            arrays[name] = _integers(binding, name, shape, rng).astype(np.int32)
        else:
            arrays[name] = draw_elements(equation, name, shape, numbers, rng).astype(dtype)
    terms = math.prod(size_expression(n)(binding.sizes) for n in spec.tiled.terms)
    largest = max(int(abs(a).max()) for a in arrays.values())
    if largest**2 * terms + largest >= 2 ** BITS[dtype]:
        raise GradproofError(f"{spec.name}: {terms} products may round in {dtype}")
    operands = {n: tensor(a, a.dtype, device=device) for n, a in arrays.items()}
    return _Data(operands, scalars, dtype, device)


def _integers(binding: Binding, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Labels in their range; any small integers where the operator has no range for them."""
    extent = binding.operator.labels.get(name)
    low, high = (
        (0, size_expression(extent)(binding.sizes)) if extent else (-MAGNITUDE, MAGNITUDE + 1)
    )
    return rng.integers(low, high, shape)


def _equation(operator: Operator, spec: KernelSpec) -> Equation:
    """The equation that a tiled kernel computes."""
    found = {s.kernel: s.contraction.equation for s in staged(find(operator.name))}
    return found[spec.name]


def _compare(binding: Binding, spec: KernelSpec, choice: Choice, data: _Data) -> str:
    """Where the two forms differ, in words; empty where they are equal."""
    assert spec.tiled is not None
    with schedule("reference"):
        expected = _run(binding, spec, data)
    with schedule("tiled", choice):
        computed = _run(binding, spec, data)
    wrong = np.argwhere(~(computed == expected))  # NaN, where nothing was stored, is not equal
    if not len(wrong):
        return ""
    at = tuple(int(k) for k in wrong[0])
    sizes = " ".join(f"{n}={v}" for n, v in binding.sizes.items())
    values = f"{computed[at]}, {expected[at]} in {spec.name}"
    return f"{spec.tiled.kernel}: element {list(at)} is {values}; sizes {sizes}, {choice}"


def _kind(binding: Binding, name: str) -> str:
    return binding.variant.tensors[_known(binding, name)].dtype


def _shape(binding: Binding, name: str) -> tuple[int, ...]:
    return binding.shape(_known(binding, name))


def _known(binding: Binding, name: str) -> str:
    """The tensor that has the shape and the kind of another, such as a gradient's."""
    return name if name in binding.variant.tensors else name.removeprefix(PREFIX)


def _run(binding: Binding, spec: KernelSpec, data: _Data) -> Any:
    shape = _shape(binding, spec.target)
    target = poisoned(shape, "real", data.dtype, data.device)
    into = {spec.target: target}
    execute(binding, [spec], data.operands, data.scalars, into=into, label=spec.name)
    return target.numpy()
