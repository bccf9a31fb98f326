"""What is in the folders is what gets installed, and importing gradproof stays cheap."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import gradproof

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("derive", "codegen", "generated", "runtime")
LINKS = (*STAGES, "docs")
HEAVY = ("jinja2", "matplotlib", "numpy", "pyopencl", "safetensors", "sympy", "typer")

SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]

# installed beside gradproof/docs, as they lie beside docs/: pages, and what pages link to
BESIDE_DOCS = [
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "examples/*.ipynb", "examples/*.py")
    for path in ROOT.glob(pattern)
]


def unshipped(root: Path, setuptools: Mapping[str, Any]) -> list[str]:
    """Name each file below the packages' folders that neither a package nor its data covers."""
    folders = {root / setuptools["package-dir"][name]: name for name in setuptools["packages"]}
    shipped = {file for folder in folders for file in folder.glob("*.py")}
    for name, patterns in setuptools["package-data"].items():
        for pattern in patterns:
            shipped |= set((root / setuptools["package-dir"][name]).glob(pattern))
    tops = {root / folder.relative_to(root).parts[0] for folder in folders}
    present = {file for top in tops for file in top.rglob("*") if file.is_file()}
    links = tuple(root / "gradproof" / name for name in LINKS)
    return sorted(
        file.relative_to(root).as_posix()
        for file in present - shipped
        if "__pycache__" not in file.parts and not any(link in file.parents for link in links)
    )


def incomplete(root: Path, setuptools: Mapping[str, Any]) -> list[str]:
    """Name each package that has no folder, no `__init__.py`, or is not in both tables."""
    packages, folders = set(setuptools["packages"]), setuptools["package-dir"]
    bare = {name for name in folders if not (root / folders[name] / "__init__.py").is_file()}
    return sorted((packages ^ set(folders)) | (set(setuptools["package-data"]) - packages) | bare)


def test_every_file_ships() -> None:
    assert unshipped(ROOT, SETUPTOOLS) == []


def test_every_package_is_complete() -> None:
    assert incomplete(ROOT, SETUPTOOLS) == []


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Two packages, one with data."""
    for name in ("gradproof/__init__.py", "runtime/__init__.py", "runtime/files/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = {
        "packages": ["gradproof", "gradproof.runtime"],
        "package-dir": {"gradproof": "gradproof", "gradproof.runtime": "runtime"},
        "package-data": {"gradproof.runtime": ["files/*.json"]},
    }
    return tmp_path, config


def test_the_small_project_ships(small: tuple[Path, dict[str, Any]]) -> None:
    assert unshipped(*small) == []
    assert incomplete(*small) == []


@pytest.mark.parametrize(
    "name",
    [
        "runtime/new/__init__.py",
        "runtime/files/b.txt",
        "runtime/files/sub/c.json",
        "gradproof/d.pyi",
    ],
)
def test_a_planted_file_is_caught(small: tuple[Path, dict[str, Any]], name: str) -> None:
    root, config = small
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch()
    assert unshipped(root, config) == [name]


def test_a_planted_gap_is_caught(small: tuple[Path, dict[str, Any]]) -> None:
    root, config = small
    (root / "runtime/__init__.py").unlink()
    config["package-dir"]["gradproof.derive"] = "gradproof"
    config["package-data"]["gradproof.codegen"] = ["*.j2"]
    assert incomplete(root, config) == [
        "gradproof.codegen",
        "gradproof.derive",
        "gradproof.runtime",
    ]


@pytest.mark.parametrize("name", LINKS)
def test_the_link_leads_to_the_folder(name: str) -> None:
    link = ROOT / "gradproof" / name
    if not link.is_symlink():
        pytest.skip("this checkout has no links; an installed package works without them")
    assert link.readlink() == Path("..") / name


def fresh(code: str) -> str:
    """Run `code` in a new interpreter and return what it prints."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = set(fresh("import gradproof, sys; print(*sorted(sys.modules))").split())
    assert "gradproof" in loaded
    assert not loaded & {*HEAVY, *(f"gradproof.{stage}" for stage in STAGES)}


def test_a_submodule_is_reached_as_an_attribute() -> None:
    assert fresh("import gradproof as gp; print(gp.nn.Conv2d.__name__)").split() == ["Conv2d"]


@pytest.mark.parametrize("name", sorted(gradproof._WHERE))
def test_every_public_name_exists(name: str) -> None:
    assert getattr(gradproof, name) is not None
    assert name in dir(gradproof)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gradproof' has no attribute 'Conv2d'"):
        gradproof.Conv2d  # type: ignore[attr-defined] # noqa: B018


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(gradproof.__file__).read_text("utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If))
    typed = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            is_module = statement.module == "gradproof.runtime"
            where = f"{statement.module}{'.' if is_module else ':'}{alias.name}"
            typed[alias.asname or alias.name] = where
    assert typed == gradproof._WHERE
    assert {*typed, "__version__"} == set(gradproof.__all__)


def test_the_version_is_written_once() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'version = { attr = "gradproof.__version__" }' in text
    assert re.fullmatch(r"\d+\.\d+\.\d+", gradproof.__version__)


@pytest.mark.slow
def test_the_wheel_holds_every_file(tmp_path: Path) -> None:
    """Built from a copy without links and without an old build/, which setuptools would pack."""
    pytest.importorskip("pip", reason="this environment has no pip to build a wheel with")
    copy_project(tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", "dist", "./source"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with zipfile.ZipFile(next(tmp_path.glob("dist/*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == installed_names(tmp_path / "source")


def copy_project(target: Path) -> None:
    """Copy the packages' folders and what describes them."""
    for folder in ("gradproof", *LINKS):
        links = LINKS if folder == "gradproof" else ()
        ignore = shutil.ignore_patterns("__pycache__", *links)
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    (target / "examples").mkdir()
    for name in ("pyproject.toml", "LICENSE", *BESIDE_DOCS):
        shutil.copy(ROOT / name, target / name)


def installed_names(source: Path) -> set[str]:
    """Say under which name each file of the packages is installed."""
    names = {f"gradproof/{name}" for name in BESIDE_DOCS}
    for folder in ("gradproof", *LINKS):
        parent = source if folder == "gradproof" else source / folder
        prefix = "" if folder == "gradproof" else f"gradproof/{folder}/"
        files = [path for path in (source / folder).rglob("*") if path.is_file()]
        names |= {prefix + path.relative_to(parent).as_posix() for path in files}
    return names
