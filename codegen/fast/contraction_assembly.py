"""The kernels of a sum of products from the text of its loops: arguments, tensors, ends of sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from gradproof.codegen.fast.contraction_tile import Phase
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.tile_sums import TileSums, merging
from gradproof.codegen.render import environment


def assembled(
    template: str,
    name: str,
    nests: tuple[Nest, ...],
    chosen: Sequence[Phase],
    epilogue: tuple[Nest, ...],
    sums: TileSums,
    layouts: Mapping[str, Layout],
    groups: int,
    slots: int,
    note: str,
    **parts: object,
) -> tuple[FastKernel, ...] | None:
    """The kernel that a template makes of `parts`, and those that end sums over the target, whose
    shares have so many `slots`; None where these have none."""
    ends = merging(name, sums, f"{name}_shares", slots, layouts)
    if ends is None:
        return None
    stores = [s for p in chosen for s in (*p.stores, *p.results) if s.stored]
    written = dict.fromkeys(s.tensor for s in stores)
    whole = {s.tensor for s in stores if s.whole}
    read = dict.fromkeys(t for p in chosen for t in _used_tensors(p) if t not in written)
    tensors = tuple([(t, False) for t in read] + [(t, True) for t in written])
    scalars = tuple(dict.fromkeys(s for n in (*nests, *epilogue) for s in n.scalars))
    kinds = {t: f"{'' if w else 'const '}{'int' if t in whole else 'REAL'}" for t, w in tensors}
    arguments = [f"__global {kinds[t]} *restrict m_{t}" for t, _ in tensors]
    arguments += ["__global REALV *restrict g_shares"] if sums.terms else []
    arguments += [f"const {'REAL' if kind == 'real' else 'uint'} s_{s}" for s, kind in scalars]
    about = [f"{n.out} = {n.value}, {[str(r) for r in n.reads]}" for n in nests]
    form = environment().get_template(template)
    text = form.render(name=name, arguments=arguments, about=[*about, note], **parts)
    flops = sum(2 * prod(n.extents.values()) for n in nests if n.reductions)
    scratch = ((f"{name}_shares", sums.size(slots)),) if sums.terms else ()
    tensors += tuple((t, True) for t, _ in scratch)
    return FastKernel(name, text, tensors, groups, scalars, flops, scratch, note), *ends


def _used_tensors(p: Phase) -> Iterator[str]:
    used = {f"r{r.index}" for s in p.problem.sums for r in s.reads}
    values = [s.value for s in (*p.stores, *p.results)] + [f.term for f in p.folds]
    used |= {str(x) for e in values for x in e.free_symbols}
    yield from (t for k, (t, _) in enumerate(p.reads) if f"r{k}" in used)
