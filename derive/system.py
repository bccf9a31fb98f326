"""An operator with its derivative: forward and backward systems, ready to be lowered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gradproof.derive.adjoint import PREFIX, adjoint, prepare
from gradproof.derive.eliminate import eliminate, eliminate_deltas
from gradproof.derive.language import Definition
from gradproof.derive.show import aligned
from gradproof.derive.simplify import Note, prune, simplify


@dataclass(frozen=True)
class System:
    """`forward` computes outputs and what the backward pass reads, its own Kronecker deltas
    eliminated; `raw` is the adjoint with its deltas, `backward` the same after elimination (None:
    nothing is differentiable); `notes` say what was simplified after it."""

    forward: Definition
    raw: Definition | None
    backward: Definition | None
    notes: tuple[Note, ...] = ()

    @property
    def saved(self) -> tuple[str, ...]:
        """The forward tensors that the backward pass reads."""
        if self.backward is None:
            return ()
        return tuple(n for n in self.backward.inputs if not n.startswith(PREFIX))

    def _repr_latex_(self) -> str:
        backward = self.backward.equations if self.backward else ()
        return f"$${aligned((*self.forward.equations, *backward))}$$"


@cache
def derive(d: Definition) -> System:
    """Differentiate an operator with respect to all its differentiable operands."""
    if not d.differentiable:
        return System(eliminate_deltas(d), None, None)
    forward = prepare(d)
    raw = adjoint(forward)
    backward, notes = simplify(eliminate(raw), forward)
    keep = {*d.outputs, *(n for n in backward.inputs if not n.startswith(PREFIX))}
    computed = prune(eliminate_deltas(forward), keep - set(d.inputs))
    return System(computed, raw, backward, notes)
