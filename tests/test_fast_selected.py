"""What is taken for a gradient of a maximum over windows: nests, steps and layouts that differ from
one in a single respect are left to kernels of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.fast import selection_kernels, selections
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.selection_plan import selection_plan
from gradproof.codegen.fast.selections import Chosen, Selection, _over_windows, selection
from gradproof.codegen.fast.tasks import Step, Task
from tests.test_fast_selections import CASES, pooled, step

ONE = Affine(1)


@dataclass
class Seen:
    """The arguments with which the planner asked, where the answer was yes."""

    selection: tuple[Step, Task]
    windows: tuple[Nest, str, Selection, Step]
    plan: tuple[Chosen, dict[str, Layout]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One step is planned: a convolution with channels in lanes, and a maximum over 2 by 2."""
    found: dict[str, Any] = {}

    def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            answer = function(*given)
            if answer is not None:
                found.setdefault(name, given)
            return answer

        return call

    image, filters, size, how = CASES["channels in lanes"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADPROOF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(selection_kernels, "GAIN", 0.0)
        patch.setattr(selections, "selection", noting("selection", selection))
        patch.setattr(selections, "_over_windows", noting("windows", _over_windows))
        patch.setattr(selection_kernels, "selection_plan", noting("plan", selection_plan))
        gp.plan(step(image, filters, pooled(size), "w", **how), precision="accurate")
    return Seen(**found)


# -- the tensor -----------------------------------------------------------------------------------
def phases(change: Callable[[Nest], Nest]) -> Callable[[Step, Task], tuple[Step, Task]]:
    """A change of every phase that has a term."""

    def changed(s: Step, t: Task) -> tuple[Step, Task]:
        return s, replace(t, nests=tuple(change(n) if n.reductions else n for n in t.nests))

    return changed


def condition(change: Callable[[Any], Any]) -> Callable[[Nest], Nest]:
    def changed(n: Nest) -> Nest:
        (r,) = n.reductions
        return replace(n, reductions=(replace(r, conditions=(change(r.conditions[0]),)),))

    return changed


def positions(change: Callable[[Nest], Nest]) -> Callable[[Step, Task], tuple[Step, Task]]:
    """A change of the nest that computes positions."""

    def nest(n: Nest) -> Nest:
        return change(n) if any(r.kind == "argmax" for r in n.reductions) else n

    def task(t: Task) -> Task:
        return replace(t, nests=tuple(map(nest, t.nests)), also=tuple(map(nest, t.also)))

    return lambda s, t: (replace(s, tasks=tuple(map(task, s.tasks))), t)


def reduction(**changes: Any) -> Callable[[Nest], Nest]:
    return lambda n: replace(n, reductions=(replace(n.reductions[0], **changes),))


def twice(n: Nest) -> Nest:
    place = n.reductions[0].place
    assert place is not None
    return reduction(place=place * 2)(n)


TENSORS: dict[str, Callable[[Step, Task], tuple[Step, Task]]] = {
    "a value elsewhere too": phases(lambda n: replace(n, value=n.value + 1)),
    "a read outside": phases(
        lambda n: replace(n, reads=tuple(replace(a, outside="zero") for a in n.reads))
    ),
    "another comparison": phases(condition(lambda c: sp.Ne(*c.args))),
    "no whole number": phases(condition(lambda c: sp.Eq(2 * (c.lhs - c.rhs), 1))),
    "a scalar": phases(lambda n: replace(n, value=n.value * sp.Symbol("slope", real=True))),
    "a loop": phases(reduction(loops=(("q", 2),))),
    "one phase": lambda s, t: (s, replace(t, nests=t.nests[:1])),
    "a position and one": positions(lambda n: replace(n, value=n.value + 1)),
    "the maximum itself": positions(reduction(kind="max")),
    "a guarded position": positions(reduction(guards=(Affine(1),))),
    "every other position": positions(twice),
    "positions from outside": lambda s, t: (
        replace(s, external=s.external | {r.tensor for n in t.nests for r in n.reads}),
        t,
    ),
}


@pytest.mark.parametrize("case", TENSORS)
def test_another_tensor_is_no_selection(case: str, seen: Seen) -> None:
    assert selection(*seen.selection) is not None
    assert selection(*TENSORS[case](*seen.selection)) is None


# -- the sum --------------------------------------------------------------------------------------
def own_read(n: Nest, buffer: str, change: Callable[[Access], Access]) -> Nest:
    return replace(n, reads=tuple(change(a) if a.tensor == buffer else a for a in n.reads))


def outer_loops(n: Nest) -> Nest:
    (r,) = n.reductions
    return replace(n, loops=(*n.loops, *r.loops), reductions=(replace(r, loops=()),))


def named_like_a_window(n: Nest) -> Nest:
    (r,) = n.reductions
    return replace(n, loops=(*n.loops, *((f"{v}_w", 1) for v, _ in r.loops)))


Sum = Callable[[Nest, str, Selection, Step], tuple[Nest, str, Selection, Step]]
SUMS: dict[str, Sum] = {
    "a neighbour": lambda n, b, sel, s: (
        own_read(
            n, b, lambda a: replace(a, subscripts=(*a.subscripts[:-1], a.subscripts[-1] + ONE))
        ),
        b,
        sel,
        s,
    ),
    "a part of the tensor": lambda n, b, sel, s: (
        n,
        b,
        sel,
        replace(s, shapes={**s.shapes, b: tuple(e + 1 for e in s.shapes[b])}),
    ),
    "one dimension for two": lambda n, b, sel, s: (
        n,
        b,
        replace(sel, base=(*sel.base[:-1], sel.base[0])),
        s,
    ),
    "places that are not summed": lambda n, b, sel, s: (outer_loops(n), b, sel, s),
    "a name that is taken": lambda n, b, sel, s: (named_like_a_window(n), b, sel, s),
    "a read outside": lambda n, b, sel, s: (
        own_read(n, b, lambda a: replace(a, outside="zero")),
        b,
        sel,
        s,
    ),
    "another value": lambda n, b, sel, s: (replace(n, value=n.value + 1), b, sel, s),
    "two sums": lambda n, b, sel, s: (replace(n, reductions=n.reductions * 2), b, sel, s),
}


@pytest.mark.parametrize("case", SUMS)
def test_another_sum_is_not_over_windows(case: str, seen: Seen) -> None:
    assert _over_windows(*seen.windows) is not None
    assert _over_windows(*SUMS[case](*seen.windows)) is None


# -- the kernel -----------------------------------------------------------------------------------
def image(
    c: Chosen, layouts: dict[str, Layout], layout: Layout
) -> tuple[Chosen, dict[str, Layout]]:
    return c, {**layouts, c.image.tensor: layout}


def blocked_image(c: Chosen, layouts: dict[str, Layout]) -> tuple[Chosen, dict[str, Layout]]:
    """The image in blocks of two along an axis in which the numbers move it."""
    old = layouts[c.image.tensor]
    axis = next(d for d in range(len(old.shape)) if len({s[d] for s in c.shifts}) > 1)
    return image(c, layouts, Layout.blocked(old.shape, axis, lanes=2, low=old.low, high=old.high))


KERNELS: dict[str, Callable[[Chosen, dict[str, Layout]], tuple[Chosen, dict[str, Layout]]]] = {
    "the image has the value's loops": lambda c, m: (
        replace(c, image=replace(c.image, subscripts=c.reads[c.place].subscripts)),
        m,
    ),
    "the value lacks a loop of the sum": lambda c, m: (
        replace(c, summed=(*c.summed, ("more", 2))),
        m,
    ),
    "the image in blocks": blocked_image,
    "no lane": lambda c, m: (
        c,
        {**m, **{a.tensor: Layout.row_major(m[a.tensor].shape) for a in c.reads}},
    ),
}


@pytest.mark.parametrize("case", KERNELS)
def test_other_layouts_have_no_such_kernel(case: str, seen: Seen) -> None:
    assert selection_plan(*seen.plan) is not None
    assert selection_plan(*KERNELS[case](*seen.plan)) is None
