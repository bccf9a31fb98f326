"""Writes generated/: one `.cl` per operator and `manifest.json`; or compares without writing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from gradproof.codegen.program import build_program
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators

FORMAT = 1
GENERATED = (
    b": generated from its definition, do not edit."  # in the first line of every kernel file
)


def generated_folder() -> Path:
    """The folder of the committed kernels, beside this package."""
    return Path(__file__).resolve().parents[1] / "generated"


def render_all(definitions: Iterable[Definition] | None = None) -> dict[str, str]:
    """File name -> text, for the given operators or all of them; the same on every machine."""
    chosen = operators().values() if definitions is None else definitions
    programs = [build_program(d) for d in chosen]
    files = {name: text for p in programs for name, text in p.files.items()}
    manifest = {"format": FORMAT, "operators": {p.name: p.entry for p in programs}}
    files["manifest.json"] = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    return files


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write what differs, remove generated kernels that no operator owns any more; return the
    names that changed. Files that were not generated stay. Errors: OSError."""
    changed = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != content.encode():
            path.write_bytes(content.encode())
            changed.append(name)
    for name in _strangers(folder, files):
        (folder / name).unlink()
        changed.append(name)
    return changed


def differences(folder: Path, files: Mapping[str, str]) -> str:
    """A unified diff from what is committed to what the derivations give; empty when equal."""
    out: list[str] = []
    for name in [*files, *_strangers(folder, files)]:
        path = folder / name
        old = path.read_text("utf-8").splitlines(True) if path.exists() else []
        new = files.get(name, "").splitlines(True)
        out += difflib.unified_diff(old, new, f"generated/{name}", f"derived/{name}")
    return "".join(out)


def _strangers(folder: Path, files: Mapping[str, str]) -> list[str]:
    others = [p for p in folder.glob("*.cl") if p.name not in files]
    return sorted(p.name for p in others if GENERATED in p.read_bytes()[:200])
