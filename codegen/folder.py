"""A folder of kernels on disk: what in it is ours, and how it changes: all of it or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradproof.derive.checker import Refused
from gradproof.derive.prove.open_claims import SECTIONS

FORMAT = 1
MANIFEST = "manifest.json"
GENERATED = (
    b": generated from its definition, do not edit."  # in the first line of every kernel file
)
# keys of the three kinds of records
RECORDS = ({"definition", "claims", *SECTIONS}, {"operators", *SECTIONS}, {"transforms"})


def is_ours(path: Path) -> bool:
    """Whether a file was generated: a kernel file, or a record of certificates."""
    content = path.read_bytes()
    if path.suffix != ".json":
        return GENERATED in content[:200]
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and any(keys <= set(record) for keys in RECORDS)


def entries_in(folder: Path) -> dict[str, Any]:
    """The operators of the folder's manifest, none where there is no manifest.

    Errors: Refused where manifest.json is not one that was generated.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] == FORMAT and all("sha256" in e for e in _entries(manifest)):
            return dict(manifest["operators"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise Refused(f"{path} is no manifest of format {FORMAT}; choose another folder")


def _entries(manifest: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    entries: Iterable[Mapping[str, Any]] = manifest["operators"].values()
    return entries


def manifest_text(entries: Mapping[str, Any]) -> str:
    """manifest.json with these operators."""
    manifest = {"format": FORMAT, "operators": entries}
    return json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"


def merged(folder: Path, entries: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """All operators when `entries` come into a folder, and the kernel files that are left over.

    Errors: Refused where two operators would share a file.
    """
    old = entries_in(folder)
    everything = dict(sorted((old | dict(entries)).items()))
    owners: dict[str, str] = {}
    for name, entry in everything.items():
        for file in entry["sha256"]:  # some file systems do not tell a.cl from A.cl
            if owners.setdefault(file.lower(), name) != name:
                other = owners[file.lower()]
                raise Refused(f"{name} and {other} would both write {file}; rename one of them")
    replaced = [old[name] for name in entries if name in old]
    unowned = {f for e in replaced for f in e["sha256"] if f.lower() not in owners}
    present = [f for f in sorted(unowned) if Path(f).name == f and (folder / f).is_file()]
    return everything, [f for f in present if is_ours(folder / f)]


def check_ours(folder: Path, names: Iterable[str]) -> None:
    """Errors: Refused where a file that would be overwritten was not generated."""
    for name in names:
        path = folder / name
        if path.is_dir() or (path.exists() and name != MANIFEST and not is_ours(path)):
            raise Refused(f"{path} exists and was not generated; choose another folder")


def replace_all(folder: Path, files: Mapping[str, str], gone: Iterable[str] = ()) -> list[str]:
    """Write what differs and remove `gone`; return the names that changed.

    New contents are first written beside the old files, then renamed; where anything fails, the
    folder is left as it was. Errors: OSError.
    """
    changed = {n: t.encode() for n, t in files.items() if _content(folder / n) != t.encode()}
    gone = list(gone)
    before = {n: _content(folder / n) for n in (*changed, *gone)}
    made = _make_folders({(folder / name).parent for name in (*files, *gone)})
    temporary = {n: (folder / n).with_name(f".{Path(n).name}.{os.getpid()}.tmp") for n in changed}
    try:
        for name, content in changed.items():
            temporary[name].write_bytes(content)
        _rename(folder, temporary, gone, before)
    except BaseException:
        for path in temporary.values():
            path.unlink(missing_ok=True)
        for path in reversed(made):
            path.rmdir()
        raise
    return [*changed, *gone]


def _rename(
    folder: Path, temporary: Mapping[str, Path], gone: list[str], before: Mapping[str, bytes | None]
) -> None:
    done = []
    try:
        for name, path in temporary.items():
            path.replace(folder / name)
            done.append(name)
        for name in gone:
            (folder / name).unlink()
            done.append(name)
    except BaseException:
        for name in done:
            content = before[name]
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
        raise


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _make_folders(folders: Iterable[Path]) -> list[Path]:
    """Make folders with their parents; return those that are new, parents first."""
    made: list[Path] = []
    for folder in sorted(folders):
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        for path in reversed(missing):
            path.mkdir()
            made.append(path)
    for folder in folders:
        folder.mkdir(exist_ok=True)  # the error where it is a file
    return made
