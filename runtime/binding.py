"""An operator with all its sizes known: checked shapes, and the geometry of its launches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import product

from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import KernelSpec, Operator, Variant, Window
from gradproof.runtime.sizes import names_in, size_expression

LARGEST = 2**31 - 1  # addresses in the kernels are 32-bit


@dataclass(frozen=True, eq=False)
class Binding:
    """`sizes` holds every size of the operator, given, solved from shapes, or derived."""

    operator: Operator
    variant: Variant
    size_values: tuple[tuple[str, int], ...]

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Size name -> value, in the operator's order."""
        return dict(self.size_values)

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor of the operator."""
        spec = self.variant.tensors[tensor]
        return tuple(size_expression(n)(self.sizes) for n in spec.shape)

    def work_items(self, kernel: KernelSpec) -> int:
        """The number of elements that a kernel computes."""
        return size_expression(kernel.work_items)(self.sizes)

    def forward(self, wanted: frozenset[str]) -> tuple[KernelSpec, ...]:
        """The forward kernels, in order, that compute `wanted`."""
        return _needed(self.operator, self.variant.forward, wanted)

    def backward(self, wanted: frozenset[str]) -> tuple[KernelSpec, ...]:
        """The backward kernels, in order, that compute `wanted`."""
        return _needed(self.operator, self.variant.backward, wanted)


@cache
def _needed(
    operator: Operator, kernels: tuple[str, ...], wanted: frozenset[str]
) -> tuple[KernelSpec, ...]:
    missing, chosen = set(wanted), []
    for name in reversed(kernels):
        spec = operator.kernels[name]
        if spec.target in missing:
            chosen.append(spec)
            missing |= set(spec.reads)
    return tuple(reversed(chosen))


def bind(
    operator: Operator,
    variant: Variant,
    shapes: Mapping[str, tuple[int, ...]],
    given: Mapping[str, int],
    label: str,
) -> Binding:
    """Solve all sizes from the operands' shapes and the given ones, and check every condition.

    Errors: ShapeError names the layer (`label`) or operand, what was given and what is expected.
    """
    try:
        return _bind(operator, variant, tuple(shapes.items()), tuple(given.items()))
    except ShapeError as error:
        raise ShapeError(f"{label}: {error}") from None


@lru_cache(maxsize=4096)
def _bind(
    operator: Operator,
    variant: Variant,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    given: tuple[tuple[str, int], ...],
) -> Binding:
    sizes = dict(given)
    for name, value in given:
        if abs(value) > LARGEST:
            raise ShapeError(f"size {name} is {value}; 32-bit addresses reach {LARGEST}")
    for tensor, shape in shapes:
        _check_rank(operator, variant, tensor, shape)
    progress = True
    while progress:
        learned = [_solve_shape(operator, variant, sizes, t, s) for t, s in shapes]
        progress = any(learned)
    missing = [n for n in operator.sizes if n not in sizes and n not in operator.derived]
    if missing:
        known = ", ".join(f"{n}=..." for n in missing)
        raise ShapeError(f"no operand's shape tells {', '.join(missing)} alone; give {known}")
    for name, bound in operator.lower.items():
        if sizes[name] < bound:
            raise ShapeError(f"size {name} is {sizes[name]}, it must be at least {bound}")
    for condition, message in operator.requires:
        if not size_expression(condition)(sizes):
            values = ", ".join(f"{n}={sizes[n]}" for n in names_in(condition))
            raise ShapeError(f"{message} ({values})")
    for name, expression in operator.derived.items():
        sizes[name] = value = size_expression(expression)(sizes)
        if value < 1:
            known = ", ".join(f"{n}={sizes[n]}" for n in names_in(expression))
            raise ShapeError(
                f"size {name} = {expression} is {value}, expected at least 1 ({known})"
            )
    binding = Binding(operator, variant, tuple((n, sizes[n]) for n in operator.sizes))
    _check_addresses(binding)
    for window in operator.windows:
        _check_window(window, sizes)
    return binding


def _check_rank(op: Operator, variant: Variant, tensor: str, shape: tuple[int, ...]) -> None:
    expected = variant.tensors[tensor].shape
    if len(shape) != len(expected):
        raise ShapeError(
            f"{op.names.get(tensor, tensor)} has shape {shape}, "
            f"expected {len(expected)} dimensions ({', '.join(expected)})"
        )


def _solve_shape(
    op: Operator, variant: Variant, sizes: dict[str, int], tensor: str, shape: tuple[int, ...]
) -> bool:
    """Bind what the dimensions of one tensor determine; True if anything new was learned."""
    learned = False
    for k, (text, value) in enumerate(zip(variant.tensors[tensor].shape, shape, strict=True)):
        unknown = [n for n in names_in(text) if n not in sizes]
        where = f"{op.names.get(tensor, tensor)} has shape {shape}: dimension {k} is {value}"
        if not unknown:
            expected = size_expression(text)(sizes)
            if expected != value:
                origin = f" (= {text})" if text != str(expected) else ""
                raise ShapeError(f"{where}, expected {expected}{origin}")
        elif len(unknown) == 1:
            u, size = unknown[0], size_expression(text)
            base, at_one, at_two = (size({**sizes, u: n}) for n in (0, 1, 2))
            slope = at_one - base
            if slope == 0 or at_two - at_one != slope:
                continue  # not linear in u: another shape must tell it
            if (value - base) % slope:
                raise ShapeError(f"{where}, which no {u} gives (= {text})")
            sizes[u] = (value - base) // slope
            learned = True
    return learned


def _check_window(w: Window, sizes: Mapping[str, int]) -> None:
    """Every window has an element: for each outer index some inner one falls inside."""
    extent = size_expression(w.extent)(sizes)
    for outside in product(*[range(size_expression(n)(sizes)) for _, n in w.outer]):
        env = {**sizes, **dict(zip((i for i, _ in w.outer), outside, strict=True))}
        if not any(0 <= s < extent for s in _subscripts(w, env)):
            at = ", ".join(f"{i}={v}" for (i, _), v in zip(w.outer, outside, strict=True))
            raise ShapeError(
                f"the window at {at} lies wholly in the padding and has no element to choose "
                f"from; use less padding or dilation, or a larger window"
            )


def _subscripts(w: Window, env: Mapping[str, int]) -> Iterator[int]:
    """What the taps of one window read; of a linear subscript first the one that can be inside."""
    subscript = size_expression(w.subscript)
    names = [i for i, _ in w.inner]
    taps = [size_expression(n)(env) for _, n in w.inner]
    if len(names) == 1:
        start = subscript({**env, names[0]: 0})
        step = subscript({**env, names[0]: 1}) - start
        first = -(start // step) if step > 0 else 0
        yield subscript({**env, names[0]: min(max(0, first), taps[0] - 1)})
    for values in product(*map(range, taps)):
        yield subscript({**env, **dict(zip(names, values, strict=True))})


def _check_addresses(b: Binding) -> None:
    for expression in (*b.operator.sizes, *b.operator.limits):
        value = size_expression(expression)(b.sizes)
        if abs(value) > LARGEST:
            raise ShapeError(f"{expression} is {value}; the kernels count up to {LARGEST}")
    for name in b.variant.tensors:
        shape, count = b.shape(name), 1
        for n in shape:
            count *= n
        if count > LARGEST:
            raise ShapeError(
                f"{b.operator.names.get(name, name)} of shape {shape} has {count} elements; "
                f"32-bit addresses reach {LARGEST}"
            )
