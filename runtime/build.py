"""Building OpenCL programs once: binaries are kept on disk between runs, programs in memory.

A program is stored under the SHA-256 of everything that decides its binary:

- the source and the build options (with pyopencl's `PYOPENCL_BUILD_OPTIONS`, which it appends);
- the device name and device version: a CPU device's version names the instruction set that the
  binary uses, and one cache folder may serve several machines;
- the driver version and the platform version: another compiler makes other, incompatible code;
- `FORMAT_VERSION`, the layout of the file.

PoCL keeps compiled kernels by itself. Asked for a binary it compiles every kernel once more, in a
form that no launch uses; so of a large program none is asked there, and its kernels come from
PoCL's files. Small ones are kept all the same, since PoCL needs 20 ms to find out what it has for a
source.

An `#include` would bring in text that the key does not see, so it is refused.

Each file starts with a line that holds the SHA-256 of the binary. It is checked before the driver
sees the binary, because drivers have been seen to crash on a truncated one. A damaged or
refused entry is built again from source, with a warning. The folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import platformdirs
import pyopencl as cl

from gradproof.runtime.caches import prepare_caches, warn_once
from gradproof.runtime.errors import BuildError, DeviceError
from gradproof.runtime.faults import explained, explaining

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
CACHE_VARIABLE = "GRADPROOF_CACHE_DIR"
UNFINISHED = 3600.0  # seconds after which nobody writes a file any more
_POCL = "Portable Computing Language"
_MAGIC = "gradproof-program"
# One thread builds at a time: a program is built once, and Python's filters of warnings, which
# `_compiler_warnings_off` changes for a while, are the process's.
_building = threading.Lock()
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b", re.MULTILINE)


def cache_folder() -> Path:
    """Folder of the program binaries: `kernels` in GRADPROOF_CACHE_DIR or the user's cache folder.

    >>> cache_folder().name
    'kernels'
    """
    base = os.environ.get(CACHE_VARIABLE)
    if not base:
        prepare_caches()
        base = platformdirs.user_cache_dir("gradproof", False)
    return Path(base) / "kernels"


def warn_unkept(what: str, error: Exception) -> None:
    """Say once for each cache folder that nothing can be kept in it, and what helps."""
    folder = cache_folder().parent
    warn_once(
        f"unkept {folder}",
        "cache folder %s: %s cannot be kept (%s); it is made anew by each process. To keep it,"
        " set %s to a folder that can be written",
        folder,
        what,
        error,
        CACHE_VARIABLE,
    )


def sealed(content: bytes) -> bytes:
    """A cache file's content: one line with the SHA-256 of the rest, then the rest."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def unsealed(file: bytes) -> bytes:
    """What was sealed. Errors: ValueError where it is damaged.

    >>> unsealed(sealed(b"text"))
    b'text'
    """
    content = file.partition(b"\n")[2]
    if sealed(content) != file:
        raise ValueError("its sha256 does not fit")
    return content


def files_hash(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 of the names, from `root`, and the contents of some files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def program_key(source: str, options: Sequence[str], device: cl.Device) -> str:
    """SHA-256 (64 hex digits) of all that decides a program's binary; see the module's text."""
    # JSON keeps the boundaries: ("ab", "c") and ("a", "bc") must differ.
    parts = [
        FORMAT_VERSION,
        source,
        list(options),
        os.environ.get("PYOPENCL_BUILD_OPTIONS", ""),
        device.name,
        device.version,
        device.driver_version,
        device.platform.version,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def keeps_kernels(device: cl.Device) -> bool:
    """Whether the driver keeps compiled kernels between processes: PoCL, unless told otherwise."""
    return device.platform.name == _POCL and os.environ.get("POCL_KERNEL_CACHE", "1") != "0"


def encode_entry(binary: bytes) -> bytes:
    """A cache file's content: one header line with the SHA-256, then the binary.

    >>> encode_entry(b"code")[:30]
    b'gradproof-program 1 5694d08a2e'
    """
    digest = hashlib.sha256(binary).hexdigest()
    return f"{_MAGIC} {FORMAT_VERSION} {digest}\n".encode() + binary


def decode_entry(entry: bytes) -> bytes:
    """The binary of a cache file.

    Raises:
        ValueError: the header line is not the one that `encode_entry` writes for this binary.

    >>> decode_entry(encode_entry(b"code"))
    b'code'
    """
    _, newline, binary = entry.partition(b"\n")
    if not newline:
        raise ValueError(f"no header line in {len(entry)} bytes")
    if encode_entry(binary) != entry:
        raise ValueError(f"the header does not fit the {len(binary)} bytes that follow")
    return binary


class ProgramCache:
    """Built programs of one device, in memory and (unless `folder` is None) on disk.

    Args:
        context: context with exactly one device.
        folder: where binaries are kept; None keeps them in memory only (simulators). A folder
            that cannot be read or written is reported once by a warning, and building goes on.
    """

    def __init__(self, context: cl.Context, folder: Path | None) -> None:
        self._context = context
        self._device = context.devices[0]
        self._folder = folder
        self._programs: dict[str, cl.Program] = {}
        self._warned = False

    def program(
        self, source: str, options: Sequence[str], label: str, large: bool = False
    ) -> cl.Program:
        """The built program: from memory, else from disk, else compiled and stored.

        Args:
            source: complete OpenCL C text.
            options: build options, one item each: `("-cl-std=CL1.2", "-DTILE=8")`.
            label: kernel file or operator; errors name it.
            large: many kernels; no binary is kept where the driver keeps them by itself.

        Raises:
            BuildError: the source does not compile (with the build log) or has an `#include`.
        """
        if isinstance(options, str):
            raise BuildError(f"{label}: options is the text {options!r}, expected a sequence")
        if _INCLUDE.search(source):
            raise BuildError(f"{label}: the source has an #include, which the cache cannot follow")
        key = program_key(source, options, self._device)
        if key not in self._programs:
            with _building:
                if key not in self._programs:  # another thread may have built it meanwhile
                    self._programs[key] = self._built(key, source, options, label, large)
        return self._programs[key]

    def _built(
        self, key: str, source: str, options: Sequence[str], label: str, large: bool
    ) -> cl.Program:
        stored = not (large and keeps_kernels(self._device))
        program = self._load(key, options, label) if stored else None
        if program is None:
            program = self._compile(source, options, label)
            if stored:
                self._store(key, program, label)
        return program

    def kernels(
        self,
        source: str,
        options: Sequence[str],
        names: Sequence[str],
        label: str,
        large: bool = False,
    ) -> dict[str, cl.Kernel]:
        """New kernel objects, one for each of `names`.

        New ones on every call, because preset arguments belong to the kernel object.

        Raises:
            BuildError: as `program`, or the program has no kernel of a given name.
        """
        program = self.program(source, options, label, large)
        # Asked by list, since some drivers create a kernel for any name without an error.
        available = [name for name in program.kernel_names.split(";") if name]
        for name in names:
            if name not in available:
                damaged = "; the driver's own cache may be damaged" if not available else ""
                raise BuildError(
                    f"{label}: no kernel {name!r} in the program; it has {available}{damaged}"
                )
        with explaining(self._device.name.strip(), label):
            return {name: cl.Kernel(program, name) for name in names}

    def _compile(self, source: str, options: Sequence[str], label: str) -> cl.Program:
        name = self._device.name.strip()
        try:
            program = cl.Program(self._context, source)
            with _compiler_warnings_off():
                # False (no cache of pyopencl's own) is documented, but missing in its type.
                program.build(list(options), cache_dir=False)  # type: ignore[arg-type]
        except cl.Error as error:
            found = explained(error, name, f"{label}: building")
            if type(found) is not DeviceError:
                raise found from error
            # The text up to the first empty line repeats the status code.
            build_log = str(error).partition("\n\n")[2] or str(error)
            raise BuildError(
                f"{label}: does not build on {name} ({self._device.platform.name.strip()}) with "
                f"options {list(options)}; `gradproof selftest` says what this driver builds, "
                f"`gradproof devices` what else there is:\n{build_log}"
            ) from error
        messages = program.get_build_info(  # type: ignore[no-untyped-call]
            self._device, cl.program_build_info.LOG
        )
        if messages and messages.strip():
            log.debug("%s: build log of %s:\n%s", label, self._device.name, messages.strip())
        return program

    def _load(self, key: str, options: Sequence[str], label: str) -> cl.Program | None:
        if self._folder is None:
            return None
        path = self._folder / f"{key}.bin"
        try:
            binary = decode_entry(path.read_bytes())
            program = cl.Program(self._context, [self._device], [binary])
            with _compiler_warnings_off():
                program.build(list(options))
            return program
        except (FileNotFoundError, NotADirectoryError):  # to keep it will say why it cannot be
            return None
        except OSError as error:
            self._warn_once(f"cannot be read ({error})")
        except ValueError as error:
            log.warning("%s: %s is damaged (%s); building it again", label, path, error)
        except cl.Error as error:
            log.warning("%s: the driver refuses %s (%s); building it again", label, path, error)
        return None

    def _store(self, key: str, program: cl.Program, label: str) -> None:
        if self._folder is None:
            return
        try:
            (binary,) = program.binaries
            if not binary:
                raise OSError("the driver gives no binary")
            write_atomically(self._folder / f"{key}.bin", encode_entry(binary))
        except (OSError, cl.Error) as error:
            self._warn_once(f"cannot store {label} ({error})")

    def _warn_once(self, what: str) -> None:
        if not self._warned:
            log.warning(
                "kernel cache %s: %s; kernels are built in memory. To keep them, set %s to a folder"
                " that can be written",
                self._folder,
                what,
                CACHE_VARIABLE,
            )
            self._warned = True


@contextlib.contextmanager
def _compiler_warnings_off() -> Iterator[None]:
    """Silence the warning that pyopencl makes of a build log: here it goes to logging.debug."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.CompilerWarning)
        yield


def write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, never a part, also with several processes."""
    # Binaries are code that this user will run: no one else may write here.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_unfinished(path.parent)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


@functools.cache
def _remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed have left in a cache folder; once is enough."""
    for left in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):  # another process may do the same
            if time.time() - left.stat().st_mtime > UNFINISHED:
                left.unlink()
