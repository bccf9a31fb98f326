"""Program builds: the key, the file, and every way in which a stored binary can be unusable."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pyopencl as cl
import pytest

from gradproof.runtime import build as build_module
from gradproof.runtime.build import (
    CACHE_VARIABLE,
    ProgramCache,
    cache_folder,
    decode_entry,
    encode_entry,
    program_key,
)
from gradproof.runtime.device import list_devices, open_device
from gradproof.runtime.errors import BuildError

SOURCE = """
kernel void one(global float *x) { x[0] = 1; }
kernel void two(global float *x) { x[0] = 2; }
"""
OPTIONS = ("-cl-std=CL1.2",)


@pytest.fixture(scope="module")
def context():
    return open_device("cpu").context


@pytest.fixture
def compiled(monkeypatch):
    """Labels of the programs that were compiled from source."""
    labels: list[str] = []
    real = ProgramCache._compile

    def spy(self, source, options, label):
        labels.append(label)
        return real(self, source, options, label)

    monkeypatch.setattr(ProgramCache, "_compile", spy)
    return labels


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path / "kernels"
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert cache_folder().name == "kernels"
    assert "gradproof" in str(cache_folder())


class _Device:
    def __init__(self, name="n", version="v", driver_version="d", platform_version="p"):
        self.name, self.version, self.driver_version = name, version, driver_version
        self.platform = type("Platform", (), {"version": platform_version})


def test_key_changes_with_each_part(monkeypatch):
    keys = [
        program_key("s", ("a", "b"), _Device()),
        program_key("s ", ("a", "b"), _Device()),
        program_key("s", ("a b",), _Device()),
        program_key("s", ("b", "a"), _Device()),
        program_key("s", ("a", "b"), _Device(name="m")),
        program_key("s", ("a", "b"), _Device(version="w")),
        program_key("s", ("a", "b"), _Device(driver_version="e")),
        program_key("s", ("a", "b"), _Device(platform_version="q")),
    ]
    monkeypatch.setenv("PYOPENCL_BUILD_OPTIONS", "-O0")
    keys.append(program_key("s", ("a", "b"), _Device()))
    monkeypatch.delenv("PYOPENCL_BUILD_OPTIONS")
    monkeypatch.setattr(build_module, "FORMAT_VERSION", 2)
    keys.append(program_key("s", ("a", "b"), _Device()))
    assert len(set(keys)) == len(keys)
    monkeypatch.undo()
    assert program_key("s", ("a", "b"), _Device()) == keys[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: e[:-1],
        lambda e: e + b"x",
        lambda e: e[:-2] + bytes([e[-2] ^ 1]) + e[-1:],
        lambda e: b"other" + e[5:],
        lambda e: b"",
        lambda e: e.partition(b"\n")[0],
    ],
    ids=["truncated", "longer", "bit flip", "wrong magic", "empty", "header only"],
)
def test_damaged_entry_is_detected(damage):
    entry = encode_entry(b"binary\ncode")
    assert decode_entry(entry) == b"binary\ncode"
    with pytest.raises(ValueError, match="header"):
        decode_entry(damage(entry))


def test_second_run_loads_from_disk_and_second_call_from_memory(context, tmp_path, compiled):
    folder = tmp_path / "a" / "kernels"
    first = ProgramCache(context, folder)
    program = first.program(SOURCE, OPTIONS, "first")
    assert first.program(SOURCE, OPTIONS, "again") is program
    second = ProgramCache(context, folder)
    assert set(second.kernels(SOURCE, OPTIONS, ("one", "two"), "second")) == {"one", "two"}
    assert compiled == ["first"]
    (entry,) = entries(folder)
    assert entry.name == program_key(SOURCE, OPTIONS, context.devices[0]) + ".bin"


def test_kernel_objects_are_not_shared(context):
    cache = ProgramCache(context, None)
    a = cache.kernels(SOURCE, OPTIONS, ("one",), "x")["one"]
    b = cache.kernels(SOURCE, OPTIONS, ("one",), "x")["one"]
    assert a.int_ptr != b.int_ptr


def test_damaged_file_is_rebuilt_and_repaired(context, tmp_path, compiled, caplog):
    ProgramCache(context, tmp_path).program(SOURCE, OPTIONS, "first")
    (path,) = entries(tmp_path)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    ProgramCache(context, tmp_path).kernels(SOURCE, OPTIONS, ("one",), "second")
    assert compiled == ["first", "second"]
    assert "is damaged" in caplog.text
    assert path.name in caplog.text
    decode_entry(path.read_bytes())


def test_binary_that_the_driver_refuses_is_rebuilt(context, tmp_path, compiled, caplog):
    path = tmp_path / f"{program_key(SOURCE, OPTIONS, context.devices[0])}.bin"
    path.write_bytes(encode_entry(b"not a program for this driver"))
    ProgramCache(context, tmp_path).kernels(SOURCE, OPTIONS, ("one",), "second")
    assert compiled == ["second"]
    assert "the driver refuses" in caplog.text


def test_folder_that_cannot_be_used_warns_once(context, tmp_path, compiled, caplog):
    (tmp_path / "file").write_text("in the way")
    cache = ProgramCache(context, tmp_path / "file" / "kernels")
    cache.kernels(SOURCE, OPTIONS, ("one",), "first")
    cache.kernels(SOURCE + "\n", OPTIONS, ("one",), "second")
    assert compiled == ["first", "second"]
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    assert "built in memory" in caplog.text


def test_full_disk_leaves_no_file_and_goes_on(context, tmp_path, monkeypatch, caplog):
    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    ProgramCache(context, tmp_path).kernels(SOURCE, OPTIONS, ("one",), "first")
    assert "No space left" in caplog.text
    assert entries(tmp_path) == []


def test_driver_without_binaries_goes_on(context, tmp_path, caplog):
    class Program:
        binaries = (b"",)

    ProgramCache(context, tmp_path)._store("key", Program(), "first")
    assert "the driver gives no binary" in caplog.text
    assert entries(tmp_path) == []


def test_build_failure_names_label_device_options_and_log(context, tmp_path):
    cache = ProgramCache(context, tmp_path)
    source = "kernel void k(global float *x) { x[0] = missing_name; }"
    with pytest.raises(BuildError) as caught:
        cache.program(source, ("-DTILE=8",), "conv2d.cl")
    message = str(caught.value)
    assert message.startswith("conv2d.cl: does not build on")
    assert context.devices[0].name.strip() in message
    assert "-DTILE=8" in message
    assert "missing_name" in message.partition("\n")[2]
    assert entries(tmp_path) == []


def test_compiler_warning_goes_to_the_debug_log(context, caplog, recwarn):
    source = "#warning careful\nkernel void k(global float *x) { x[0] = 0; }"
    with caplog.at_level(logging.DEBUG, build_module.__name__):
        ProgramCache(context, None).program(source, (), "warns.cl")
    assert "warns.cl: build log" in caplog.text
    assert "careful" in caplog.text
    assert not [w for w in recwarn if issubclass(w.category, cl.CompilerWarning)]


def test_missing_kernel_names_those_that_exist(context):
    with pytest.raises(BuildError, match=r"x.cl: no kernel 'three' in the program.*'one', 'two'"):
        ProgramCache(context, None).kernels(SOURCE, OPTIONS, ("one", "three"), "x.cl")


@pytest.mark.parametrize("line", ['#include "a.h"', "  # include <a.h>"])
def test_include_is_refused(context, line):
    with pytest.raises(BuildError, match=r"x\.cl: the source has an #include"):
        ProgramCache(context, None).program(f"int a;\n{line}\n{SOURCE}", (), "x.cl")


def test_options_as_one_text_are_refused(context):
    with pytest.raises(BuildError, match="expected a sequence"):
        ProgramCache(context, None).program(SOURCE, "-DA=1 -DB=2", "x.cl")


def test_simulator_stores_nothing(tmp_path, monkeypatch):
    if not any(info.kind == "simulator" for info in list_devices()):
        pytest.skip("Oclgrind is not installed")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    device = type(open_device("simulator"))(open_device("simulator").info)
    assert set(device.build(SOURCE, OPTIONS, ("one", "two"))) == {"one", "two"}
    assert entries(tmp_path) == []


def test_device_stores_in_the_folder_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    device = type(open_device("cpu"))(open_device("cpu").info)
    device.build(SOURCE, OPTIONS, ("one",))
    assert len(entries(tmp_path / "kernels")) == 1


@pytest.mark.parametrize("keeps", [True, False])
def test_large_programs_leave_their_kernels_to_a_driver_that_keeps_them(
    context, tmp_path, compiled, monkeypatch, keeps
):
    monkeypatch.setattr(build_module, "keeps_kernels", lambda device: keeps)
    for label in ("first", "second"):
        cache = ProgramCache(context, tmp_path)
        assert set(cache.kernels(SOURCE, OPTIONS, ("one",), label, large=True)) == {"one"}
    assert bool(entries(tmp_path)) != keeps
    assert compiled == (["first", "second"] if keeps else ["first"])


def test_which_driver_keeps_kernels(context, monkeypatch):
    monkeypatch.delenv("POCL_KERNEL_CACHE", raising=False)
    (device,) = context.devices
    assert build_module.keeps_kernels(device) == ("Portable" in device.platform.name)
    monkeypatch.setenv("POCL_KERNEL_CACHE", "0")
    assert not build_module.keeps_kernels(device)
