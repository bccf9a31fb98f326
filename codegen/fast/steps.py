"""A recorded graph as a step: its calls as tasks, checked before and after fusion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

from gradproof.codegen.fast.graph import Buffer, Graph, Node, Shape, nodes
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tasks import Step, Task, by_kind, kind_of
from gradproof.codegen.fast.validate import check_nests
from gradproof.codegen.fast.views import canonical, on_canonical, reshaping
from gradproof.derive.language import Definition

MATRIX = 2  # dimensions that a buffer needs to be moved: vectors stay as they are


def step_of(graph: Graph, definition: Callable[[str], Definition]) -> Step:
    """The graph's calls as tasks on buffers of one shape each."""
    found = nodes(graph, definition)
    shapes = canonical(found, {b: x.shape for b, x in graph.buffers.items()})
    external = frozenset(b for b, x in graph.buffers.items() if x.kind != "temporary")
    fixed = {
        b: x.layout if x.layout is not None and x.layout.shape == shapes[b] else None
        for b, x in graph.buffers.items()
        if (x.kind == "external" and not _seen_flat(x, shapes[b]))
        or (x.kind == "movable" and len(shapes[b]) < MATRIX)
    }
    tasks: list[Task] = []
    for node in found:
        before, node, after = _with_flat_operands(node, shapes, external)
        nests = on_canonical(node, shapes)
        opaque = node.reads if nests is None else frozenset[str]()
        if nests is not None:
            check_nests(nests, shapes)
        own = [
            Task(kind, node.call, node.out, part, opaque_reads=opaque)
            for kind, part in by_kind(nests)
        ]
        tasks += [*before, *own, *after]
    whole = frozenset(b for b, x in graph.buffers.items() if x.dtype == "int")
    return Step(tuple(tasks), shapes, external, fixed, whole)


def _seen_flat(x: Buffer, shape: Shape) -> bool:
    """Whether a tensor was recorded as a flat view (an optimizer's momentum), but others see more
    dimensions: it may be moved like what it is added to."""
    return x.dtype != "int" and x.layout is None and len(x.shape) == 1 and len(shape) >= MATRIX


def _with_flat_operands(
    node: Node, shapes: dict[str, Shape], external: frozenset[str]
) -> tuple[list[Task], Node, list[Task]]:
    """A sum of products with an operand that outweighs the others by far works on flat copies of
    these, as it sees them: the large one then needs no copy of its own."""
    if kind_of(node.nests) != "contract":
        return [], node, []
    size = {b: prod(shape) for b, shape in node.shapes.items()}
    heavy = max(size.values())
    names = {
        b: f"{b}|{node.call}"
        for b, shape in node.shapes.items()
        if b not in external
        and len(shape) < len(shapes[b])
        and size[b] < heavy
        and sum(n > 1 for n in shape) < sum(n > 1 for n in shapes[b])
    }
    before, after = [], []
    for b, flat in names.items():
        shapes[flat] = node.shapes[b]
        if b == node.out:
            back = reshaping(flat, b, shapes[b], shapes[flat], to_coarser=False)
            after.append(Task("vector", node.call, b, (back,), apart=True))
        else:
            there = reshaping(b, flat, shapes[b], shapes[flat], to_coarser=True)
            before.append(Task("vector", node.call, flat, (there,), apart=True))
    moved = replace(
        node,
        out=names.get(node.out, node.out),
        reads=frozenset(names.get(b, b) for b in node.reads),
        nests=tuple(renamed(n, names) for n in node.nests or ()),
        shapes={names.get(b, b): shape for b, shape in node.shapes.items()},
    )
    return before, moved, after


def check_tasks(step: Step) -> None:
    """What holds of every equation before it is fused holds afterwards. Errors: Unsound."""
    together: dict[tuple[int, str], tuple[Nest, ...]] = {}
    for task in step.tasks:
        key = task.call, task.out
        together[key] = (*together.get(key, ()), *task.nests)
        for nest in task.also:
            check_nests((nest,), step.shapes)
    for nests in together.values():
        check_nests(nests, step.shapes)


def work(nests: tuple[Nest, ...]) -> int:
    """Multiplications and additions of a sum of products."""
    return sum(2 * prod(n.extents.values()) for n in nests)


def alike(nests: tuple[Nest, ...]) -> list[tuple[Nest, ...]]:
    """The phases of an equation, those over the same loops together."""
    loops = dict.fromkeys(n.loops for n in nests)
    return [tuple(n for n in nests if n.loops == x) for x in loops]


def with_moments(tasks: tuple[Task, ...]) -> Iterator[Task]:
    """A sum and a sum of squared deviations from it that follow each other, as one task."""
    waiting: Task | None = None
    for t in tasks:
        if waiting is not None and _pair(waiting, t):
            yield Task("moments", waiting.call, waiting.out, waiting.nests, t.nests)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
        waiting = t
    if waiting is not None:
        yield waiting


def _pair(a: Task, b: Task) -> bool:
    if a.kind != "vector" or b.kind != "vector" or a.also or b.also:
        return False
    if len(a.nests) != 1 or len(b.nests) != 1 or a.out not in b.reads:
        return False
    first, second = a.nests[0].reductions, b.nests[0].reductions
    return len(first) == len(second) == 1 and first[0].loops == second[0].loops
