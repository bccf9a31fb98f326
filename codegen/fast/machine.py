"""What the schedules know of a processor."""

from __future__ import annotations

from dataclasses import dataclass, replace

ENOUGH = 225_000  # elements of local memory: schedules take no more of it


@dataclass(frozen=True)
class Machine:
    """What the compiler makes of a vector of 16 lanes: `pieces` registers of the `registers` there
    are; `latency`: how many accumulators keep its multiply-adds busy; `local`: elements of a
    work-group's local memory."""

    registers: int
    pieces: int
    latency: int
    local: int = ENOUGH

    @property
    def vectors(self) -> int:
        """The most accumulators worth a try."""
        return self.registers // self.pieces - 1


AVX2 = Machine(registers=15, pieces=2, latency=4)  # of 16; one is left to the compiler
AVX512 = Machine(registers=28, pieces=1, latency=8)  # of 32
MACHINES = {"avx2": AVX2, "avx512": AVX512}


def machine_of(name: str) -> Machine | None:
    """ "avx2" or "avx512", with the elements of local memory where these are few: "avx2 131072".

    >>> machine_of("avx2 131072").local, machine_of("gpu 64")
    (131072, None)
    """
    kind, _, local = name.partition(" ")
    if kind not in MACHINES or (local and not local.isdecimal()):
        return None
    return replace(MACHINES[kind], local=int(local)) if local else MACHINES[kind]
