"""Updates as soon as they can be done, so that gradients need not wait for the end of a step."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gradproof.codegen.fast.emission import Launch


def early(launches: Sequence[Launch], external: Collection[str]) -> list[Launch]:
    """The launches, with those that write only `external` buffers right behind the last one that
    they depend on: that writes what they read or write, or reads what they write.

    >>> def launch(kernel, writes, *reads):
    ...     return Launch(kernel, (writes, *reads), writes=(writes,))
    >>> steps = [launch("g", "a", "w"), launch("h", "b"), launch("i", "w", "a")]
    >>> [x.kernel for x in early(steps, {"w"})]
    ['g', 'i', 'h']
    """
    written: dict[str, int] = {}  # by which launch last
    used: dict[str, int] = {}
    places = []
    for k, x in enumerate(launches):
        others = [written[b] for b in x.buffers if b in written]
        others += [used[b] for b in x.writes if b in used]
        last = max(others, default=-1)
        moves = x.writes and set(x.writes) <= set(external)
        places.append((last if moves else k, k))
        used |= dict.fromkeys(x.buffers, k)
        written |= dict.fromkeys(x.writes, k)
    return [launches[k] for _, k in sorted(places)]
