"""What generated/manifest.json says: operators, their kernels, shapes and conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from gradproof.runtime.errors import GradproofError
from gradproof.runtime.once import Once

FORMAT = 1
FILE = re.compile(r"\w+\.cl", re.ASCII)  # what a manifest may name


@dataclass(frozen=True)
class Argument:
    """A kernel argument. kind: read, write, scalar or sizes; dtype: real, int or uint."""

    name: str
    kind: str
    dtype: str


@dataclass(frozen=True, eq=False)
class TiledSpec:
    """The vectorised form of a kernel; see codegen/contraction.py and docs/schedules.md.

    `when`: sizes that must have these values. `lane`, `tiles`: extents of the index that runs along
    vectors and of those that may be tiled, `others` the output's remaining ones. `terms`: extents
    of the reductions, outermost first. `tensors`: shapes of the packed operands, which `packs`
    compute. `dynamic`: sizes that no address depends on, which need not be known to the compiler.
    """

    kernel: str
    source: str = field(repr=False)
    arguments: tuple[Argument, ...]
    when: Mapping[str, int]
    lane: str
    tiles: Mapping[str, str]
    dynamic: tuple[str, ...]
    others: tuple[str, ...]
    terms: tuple[str, ...]
    tensors: Mapping[str, tuple[str, ...]]
    packs: tuple[KernelSpec, ...]


@dataclass(frozen=True, eq=False)
class PhasesSpec:
    """The form of a kernel that visits only the taps that exist; see docs/schedules.md.

    `when`: sizes that must have these values.
    """

    kernel: KernelSpec
    when: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class KernelSpec:
    """A kernel: the tensor it computes, its arguments in order, its number of work-items.

    `lines`: its first and last line in the operator's file (empty in a tiled program). `of`: the
    kernel whose phase-split form this one is.
    """

    name: str
    target: str
    arguments: tuple[Argument, ...]
    work_items: str
    in_place: bool
    lines: tuple[int, ...] = ()
    tiled: TiledSpec | None = None
    phases: PhasesSpec | None = None
    of: str = ""

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that it reads."""
        return tuple(a.name for a in self.arguments if a.kind == "read")


@dataclass(frozen=True)
class TensorSpec:
    """A tensor of an operator: shape in size expressions, dtype real or int."""

    shape: tuple[str, ...]
    dtype: str


@dataclass(frozen=True)
class Window:
    """One axis of a maximum that skips what lies outside; see `Operator.windows`."""

    subscript: str
    extent: str
    outer: tuple[tuple[str, str], ...]
    inner: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Variant:
    """An operator with a set of optional operands left out."""

    name: str
    without: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    differentiable: tuple[str, ...]
    saved: tuple[str, ...]
    tensors: Mapping[str, TensorSpec]
    forward: tuple[str, ...]
    backward: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator: program text, sizes and conditions, kernels, variants.

    `limits`: expressions in the sizes that a host keeps below 2^31; then no kernel overflows.
    """

    name: str
    source: str = field(repr=False)
    sizes: tuple[str, ...]
    lower: Mapping[str, int]
    derived: Mapping[str, str]
    requires: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]
    scalars: Mapping[str, str]
    names: Mapping[str, str]
    labels: Mapping[str, str]
    windows: tuple[Window, ...]
    kernels: Mapping[str, KernelSpec]
    variants: Mapping[str, Variant]

    def program(self, kernels: tuple[str, ...]) -> str:
        """The text of some kernels with the helpers above them all: it builds faster than the file.

        The lines are those of the file, untouched.
        """
        lines = self.source.splitlines(keepends=True)
        helpers = min(k.lines[0] for k in self.kernels.values()) - 1
        spans = [self.kernels[name].lines for name in kernels]
        return "".join([*lines[:helpers], *(x for a, b in spans for x in lines[a - 1 : b])])

    def without(self, *operands: str) -> Variant:
        """The variant that leaves out exactly these optional operands."""
        for v in self.variants.values():
            if set(v.without) == set(operands):
                return v
        raise GradproofError(f"{self.name}: {', '.join(operands)} cannot be left out")


def parse_operator(name: str, entry: Mapping[str, Any], files: Mapping[str, str]) -> Operator:
    """One entry of a manifest, with the texts of its files by name."""
    windows = tuple(
        Window(w["subscript"], w["extent"], tuple(w["outer"].items()), tuple(w["inner"].items()))
        for w in entry["windows"]
    )
    return Operator(
        name,
        files[entry["file"]],
        tuple(entry["sizes"]),
        entry["lower"],
        entry["derived"],
        tuple((r["condition"], r["message"]) for r in entry["requires"]),
        tuple(entry["limits"]),
        entry["scalars"],
        entry["names"],
        entry["labels"],
        windows,
        _kernels(entry["kernels"], files),
        {k: _variant(k, v) for k, v in entry["variants"].items()},
    )


def _kernels(entries: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, KernelSpec]:
    found = {name: _kernel(name, entry, files) for name, entry in entries.items()}
    for name, entry in entries.items():
        if "phases" in entry:
            phases = PhasesSpec(found[entry["phases"]["kernel"]], entry["phases"]["when"])
            found[name] = replace(found[name], phases=phases)
    return found


def _kernel(name: str, entry: Mapping[str, Any], files: Mapping[str, str]) -> KernelSpec:
    return KernelSpec(
        name,
        entry["target"],
        _arguments(entry),
        entry["work_items"],
        entry["in_place"],
        tuple(entry.get("lines", ())),
        _tiled(entry["tiled"], files) if "tiled" in entry else None,
        of=entry.get("of", ""),
    )


def _tiled(entry: Mapping[str, Any], files: Mapping[str, str]) -> TiledSpec:
    return TiledSpec(
        entry["kernel"],
        files[entry["file"]],
        _arguments(entry),
        entry["when"],
        entry["lane"],
        entry["tiles"],
        tuple(entry["dynamic"]),
        tuple(entry["others"]),
        tuple(entry["terms"]),
        {t: tuple(shape) for t, shape in entry["tensors"].items()},
        tuple(_kernel(k, v, files) for k, v in entry["packs"].items()),
    )


def _arguments(entry: Mapping[str, Any]) -> tuple[Argument, ...]:
    return tuple(Argument(a["name"], a["kind"], a["dtype"]) for a in entry["arguments"])


def _variant(name: str, entry: Mapping[str, Any]) -> Variant:
    tensors = {t: TensorSpec(tuple(v["shape"]), v["dtype"]) for t, v in entry["tensors"].items()}
    lists = ("without", "inputs", "outputs", "differentiable", "saved", "forward", "backward")
    return Variant(name=name, tensors=tensors, **{k: tuple(entry[k]) for k in lists})


@Once
def operators() -> dict[str, Operator]:
    """All generated operators by name.

    >>> operators()["conv2d"].variants["conv2d"].inputs
    ('Y', 'w', 'b')
    """
    return read_manifest(resources.files("gradproof.generated"))


def read_manifest(folder: Traversable) -> dict[str, Operator]:
    """The operators of a folder like generated/, by name. Errors: GradproofError where the manifest
    or a file that it names is missing or damaged, or lies elsewhere."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']}, expected {FORMAT}")
        return {
            name: parse_operator(name, entry, {f: _text(folder, f) for f in entry["sha256"]})
            for name, entry in manifest["operators"].items()
        }
    except OSError as error:
        raise GradproofError(f"{folder}: cannot be read: {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise GradproofError(f"{folder / 'manifest.json'}: damaged: {why}") from error


def _text(folder: Traversable, name: str) -> str:
    """A file in the folder itself. Errors: ValueError for the name of a place elsewhere."""
    if not FILE.fullmatch(name):
        raise ValueError(f"{name!r} is no file of the folder")
    return (folder / name).read_text("utf-8")
