"""Tiled kernels against the reference kernels beside them, whose text is proved.

The text of a tiled kernel is bound by its hash and by this comparison: on integers, in double,
every sum of products is exact, so that both kernels must give the same numbers, bit for bit, for
all sizes, lanes, tiles and partial sums.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

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
MAGNITUDE = 4  # of an element
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
        difference = _compare(binding, spec, choice, dtype, device, rng)
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


def _compare(
    binding: Binding,
    spec: KernelSpec,
    choice: Choice,
    dtype: str,
    device: Device,
    rng: np.random.Generator,
) -> str:
    """Where the two forms differ, in words; empty where they are equal."""
    assert spec.tiled is not None
    terms = math.prod(size_expression(n)(binding.sizes) for n in spec.tiled.terms)
    if MAGNITUDE**2 * terms + MAGNITUDE >= 2 ** BITS[dtype]:
        raise GradproofError(f"{spec.name}: {terms} products may round in {dtype}")
    operands = {
        name: tensor(
            rng.integers(-MAGNITUDE, MAGNITUDE + 1, _shape(binding, name)), dtype, device=device
        )
        for name in spec.reads
    }
    with schedule("reference"):
        expected = _run(binding, spec, operands, dtype, device)
    with schedule("tiled", choice):
        computed = _run(binding, spec, operands, dtype, device)
    wrong = np.argwhere(~(computed == expected))  # NaN, where nothing was stored, is not equal
    if not len(wrong):
        return ""
    at = tuple(int(k) for k in wrong[0])
    sizes = " ".join(f"{n}={v}" for n, v in binding.sizes.items())
    values = f"{computed[at]}, {expected[at]} in {spec.name}"
    return f"{spec.tiled.kernel}: element {list(at)} is {values}; sizes {sizes}, {choice}"


def _shape(binding: Binding, name: str) -> tuple[int, ...]:
    known = name in binding.variant.tensors
    return binding.shape(name if known else name.removeprefix(PREFIX))


def _run(
    binding: Binding, spec: KernelSpec, operands: Mapping[str, Tensor], dtype: str, device: Device
) -> Any:
    target = poisoned(_shape(binding, spec.target), "real", dtype, device)
    execute(binding, [spec], operands, {}, into={spec.target: target}, label=spec.name)
    return target.numpy()
