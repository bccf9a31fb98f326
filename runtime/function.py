"""A compiled definition as a function on tensors: its arguments are checked, and put in order."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from gradproof.runtime.arguments import check_tensor, number, whole
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ArgumentError, ShapeError
from gradproof.runtime.manifest import Operator
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar


class Function:
    """A definition as a differentiable function on tensors; made by `gradproof.compile`.

    fn(*operands, **sizes_and_scalars, label=None): operands in the order of the definition's
    inputs, or by keyword under the definition's letter or the user's name (`names`); an optional
    one may be left out or None. Scalars, and sizes that no shape tells, come by keyword. `label` is
    the name by which errors speak of it. Returns the output, or a named tuple of several.

    Errors: ArgumentError for what is missing, unknown or given twice, and for a scalar that is no
    number; ShapeError; DTypeError; DataError for a label out of range.

    `definition` is what was compiled, `operator` its kernels, `__doc__` its formulas and shapes.
    """

    def __init__(self, definition: Any, operator: Operator, formulas: str) -> None:
        self.definition, self.operator = definition, operator
        self.__name__ = operator.name
        complete = operator.without()
        self._operands, self._outputs = complete.inputs, complete.outputs
        self._optional = {n for v in operator.variants.values() for n in v.without}
        self._sizes = [n for n in operator.sizes if n not in operator.derived]
        letters = {operator.names.get(n, n): n for n in self._operands}
        self._letters = letters | {n: n for n in self._operands}
        shown = [operator.names.get(n, n) for n in self._outputs]
        self._several = namedtuple(operator.name, shown) if len(shown) > 1 else None
        self.__doc__ = f"{operator.name}({self.signature})\n\n{formulas}"

    def __call__(self, /, *operands: Tensor | None, label: str | None = None, **given: Any) -> Any:
        """Compute the outputs; see the class."""
        label = label or self.__name__
        found = self._positional(operands, label)
        sizes: dict[str, int] = {}
        scalars: dict[str, Scalar] = {}
        for name, value in given.items():
            if name in self._letters:
                self._operand(found, self._letters[name], value, label)
            elif name in self._sizes:
                sizes[name] = _size(value, name, label)
            elif name in self.operator.scalars:
                scalars[name] = _scalar(value, self.operator.scalars[name], name, label)
            else:
                raise ArgumentError(f"{label}: {self._unknown(name)}")
        self._check_complete(found, scalars, label)
        out = apply(self.operator, found, sizes, scalars, label=label)
        results = [out[n] for n in self._outputs]
        return self._several(*results) if self._several else results[0]

    def __repr__(self) -> str:
        returned = ", ".join(self._outputs)
        return f"<gradproof function {self.__name__}({self.signature}) -> {returned}>"

    def _repr_latex_(self) -> str:
        shown: str = self.definition._repr_latex_()
        return shown

    @property
    def signature(self) -> str:
        """What is given: operands, then scalars and the sizes that no plain dimension tells."""
        operands = [f"{n}=None" if n in self._optional else n for n in self._operands]
        told = {s for n in self._operands for s in self.operator.without().tensors[n].shape}
        more = [*(n for n in self._sizes if n not in told), *self.operator.scalars]
        return ", ".join([*operands, *(["*", *more] if more else [])])

    def _shown(self, operand: str) -> str:
        user = self.operator.names.get(operand)
        return f"{operand} ({user})" if user else operand

    def _positional(
        self, operands: tuple[Tensor | None, ...], label: str
    ) -> dict[str, Tensor | None]:
        if len(operands) > len(self._operands):
            expected = ", ".join(map(self._shown, self._operands))
            raise ArgumentError(
                f"{label}: {len(operands)} operands were given, expected {len(self._operands)}: "
                f"{expected}; sizes and scalars come by keyword"
            )
        found: dict[str, Tensor | None] = {}
        for name, value in zip(self._operands, operands, strict=False):
            self._operand(found, name, value, label)
        return found

    def _operand(
        self, found: dict[str, Tensor | None], name: str, value: Tensor | None, label: str
    ) -> None:
        if name in found:
            raise ArgumentError(f"{label}: operand {self._shown(name)} was given twice")
        if value is None and name not in self._optional:
            raise ArgumentError(f"{label}: operand {self._shown(name)} is None, expected a Tensor")
        if value is not None:
            check_tensor(value, self._shown(name), label)
        found[name] = value

    def _check_complete(
        self, found: dict[str, Tensor | None], scalars: Mapping[str, Scalar], label: str
    ) -> None:
        """Everything is there; optional operands that were not named are left out."""
        for name in self._operands:
            if name not in found and name not in self._optional:
                raise ArgumentError(f"{label}: operand {self._shown(name)} is missing")
            found.setdefault(name, None)
        missing = [n for n in self.operator.scalars if n not in scalars]
        if missing:
            raise ArgumentError(f"{label}: give the scalar {missing[0]}, as {missing[0]}=...")

    def _unknown(self, name: str) -> str:
        if name in self.operator.derived:
            return f"size {name} follows from the others (= {self.operator.derived[name]})"
        known = [
            "operands " + ", ".join(map(self._shown, self._operands)),
            "sizes " + ", ".join(self._sizes),
        ]
        known += ["scalars " + ", ".join(self.operator.scalars)] if self.operator.scalars else []
        return f"unknown argument {name!r}; known: {'; '.join(known)}; label"


def _size(value: Any, name: str, label: str) -> int:
    found = whole(value)
    if found is None:
        raise ShapeError(f"{label}: {name}={value!r}, expected an integer")
    return found


def _scalar(value: Any, kind: str, name: str, label: str) -> Scalar:
    """A number, or a function that gives one anew at each replay of a recorded step."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    if kind == "uint":
        found = whole(value)
        if found is None or not 0 <= found < 2**32:
            raise ArgumentError(f"{label}: {name}={value!r}, expected an integer from 0 to 2^32-1")
        return found
    return number(value, name, label)
