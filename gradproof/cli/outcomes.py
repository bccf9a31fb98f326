"""How much `gradproof selftest` tries, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Plan:
    """How much is tried, for each dtype: cases of each variant, and of its tiled kernels
    (which are built anew for every size); the largest size, index tuples of a sum; and how many
    times more index tuples the adjoint identity may take where it needs no brute force. Tiled
    kernels are tried in `tiled_dtypes`: to build them takes longest.

    A variant that leaves operands out shares most kernels with the complete one: it gets `fewer`
    cases, in `fewer_dtypes`, where these are given. identities: for each form and dtype of an
    operator that rounds; integers may agree by chance, so that one that does not gets two."""

    cases: int
    tiled: int
    largest: int
    work: int
    dtypes: tuple[str, ...]
    wider: int = 16
    tiled_dtypes: tuple[str, ...] = ("float32",)
    fewer: int | None = None
    fewer_dtypes: tuple[str, ...] | None = None
    identities: int = 2

    def of(self, variant: int) -> Plan:
        """What is tried of an operator's first variant, the complete one, and of another."""
        if variant == 0:
            return self
        cases = self.cases if self.fewer is None else self.fewer
        return replace(self, cases=cases, dtypes=self.fewer_dtypes or self.dtypes)


@dataclass(frozen=True)
class Failure:
    """A kernel that did not compute what its definition says, or did not run (`error`)."""

    kernel: str
    dtype: str
    sizes: dict[str, int] = field(default_factory=dict)
    element: tuple[int, ...] = ()
    computed: str = ""
    expected: str = ""
    allowed: float = 0.0
    error: str = ""

    def lines(self) -> list[str]:
        """The failure in words."""
        if self.error:
            shown = [f"{self.kernel} ({self.dtype}): {self.error}"]
        else:
            shown = [
                f"{self.kernel} ({self.dtype}), element {list(self.element)}:",
                f"    computed {self.computed}, expected {self.expected}, "
                f"allowed error {self.allowed:.3g}",
            ]
        sizes = " ".join(f"{n}={v}" for n, v in self.sizes.items())
        return [*shown, f"    sizes {sizes}"] if sizes else shown


@dataclass(frozen=True)
class Outcome:
    """What was tried of one operator, and what came of it."""

    operator: str
    kernels: int
    cases: int
    exact: bool
    largest_error: float  # as a part of the rounding bound
    adjoint: str
    seconds: float
    failures: tuple[Failure, ...]

    @property
    def result(self) -> str:
        """One phrase for the table."""
        if self.failures:
            return f"FAILED: {self.failures[0].kernel}"
        return "exact" if self.exact else f"error {self.largest_error:.0%} of bound"
