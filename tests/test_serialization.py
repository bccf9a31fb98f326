"""State dicts on disk: what is written is read, and what cannot be is one error."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

import gradproof as gp
from gradproof.runtime.errors import DataError, DTypeError
from gradproof.runtime.interrupts import deferred_interrupts
from gradproof.runtime.serialization import load, load_metadata, remove_unfinished, save

STATE: dict[str, np.ndarray[Any, Any]] = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([0.1, np.nan], np.float64),
    "1.num_batches_tracked": np.array(2**40, np.int64),
    "labels": np.zeros((0, 2), np.int32),
}


def raw_file(path: Path, dtype: str, data: bytes, shape: list[int]) -> None:
    header = {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_all_types_and_shapes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(STATE, path)
    loaded = load(str(path))
    assert loaded.keys() == STATE.keys()
    for name, array in STATE.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array, strict=True)
        assert loaded[name].flags.writeable and loaded[name].flags.owndata


@settings(max_examples=25, deadline=None)
@given(
    st_numpy.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64]),
        st_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_any_memory_order_comes_back(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray[Any, Any]
) -> None:
    path = tmp_path_factory.mktemp("order") / "x"
    views = {"c": array, "fortran": np.asarray(array, order="F")}
    if array.ndim:
        views["reversed"] = array[::-1].T
    save(views, path)
    for name, loaded in load(path).items():
        np.testing.assert_array_equal(loaded, views[name], strict=True)


def test_one_array_is_in_the_standard_layout(tmp_path: Path) -> None:
    save({"x": STATE["0.weight"]}, tmp_path / "ours")
    raw_file(tmp_path / "theirs", "F32", STATE["0.weight"].tobytes(), [2, 3])
    np.testing.assert_array_equal(load(tmp_path / "theirs")["x"], load(tmp_path / "ours")["x"])


@pytest.mark.parametrize(
    ("name", "array", "error", "words"),
    [
        ("x", np.zeros(2, np.float16), DTypeError, "x is float16"),
        ("x", np.zeros(2, ">f4"), DTypeError, "x is >f4"),
        ("x", np.array([object()]), DTypeError, "x is object"),
        ("x", [1.0, 2.0], DTypeError, "list"),
        (3, np.zeros(2), DataError, "name 3"),
        ("__metadata__", np.zeros(2), DataError, "__metadata__"),
    ],
)
def test_what_cannot_be_written_is_refused_and_the_old_file_stays(
    tmp_path: Path, name: Any, array: Any, error: type[Exception], words: str
) -> None:
    path = tmp_path / "model"
    save(STATE, path)
    before = path.read_bytes()
    with pytest.raises(error, match=words):
        save({"fits": np.zeros(1), name: array}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model"]


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    save({"x": np.zeros(1)}, path)

    def fail(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DataError, match=r"model: cannot be written: No space left"):
        save({"x": np.ones(1)}, path)
    assert os.listdir(tmp_path) == ["model"]
    assert load(path)["x"] == [0.0]


def test_ctrl_c_during_a_save_takes_effect_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job's may be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            save({"x": np.ones(1)}, tmp_path / "model")
    finally:
        signal.signal(signal.SIGINT, before)
    assert os.listdir(tmp_path) == ["model"]
    assert load(tmp_path / "model")["x"] == [1.0]


def test_another_thread_leaves_ctrl_c_to_the_main_one() -> None:
    found = []

    def inside() -> None:
        with deferred_interrupts():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]
    with deferred_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_saved_file_has_the_usual_permissions(tmp_path: Path) -> None:
    save({"x": np.zeros(1)}, tmp_path / "ours")
    (tmp_path / "usual").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        save(STATE, tmp_path / "none" / "model")


def test_what_a_killed_process_left_may_not_be_removable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".model-a1b2c3d4.npz-a1b2c3d4").mkdir()
    (tmp_path / ".notes.txt-a1b2c3d4").write_text("mine")

    def denied(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(shutil, "rmtree", denied)
        with pytest.raises(DataError, match=r"cannot be cleared: .*Permission denied"):
            remove_unfinished(tmp_path)
    remove_unfinished(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [".notes.txt-a1b2c3d4"]


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such file"):
        load_metadata(tmp_path / "gone")
    with pytest.raises(DataError, match="gone: no such file"):
        load(tmp_path / "gone")
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 8, 20, -1])
def test_a_truncated_file_is_an_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model"
    save(STATE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="model: cannot be read as safetensors file"):
        load(path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model", r"cannot be read as safetensors file: .* one of arrays has the ending \.npz"),
        ("model.pth", r"can run code when it is opened; in PyTorch, write safetensors\.torch"),
    ],
)
def test_another_format_is_an_error(name: str, words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", x=np.zeros(3))  # torch.save writes a zip archive, too
    (tmp_path / "model.npz").rename(tmp_path / name)
    with pytest.raises(DataError, match=words):
        load(tmp_path / name)


@pytest.mark.parametrize("dtype", ["U16", "BOOL", "F8_E4M3"])
def test_other_element_types_are_named(tmp_path: Path, dtype: str) -> None:
    data = bytes(4 if dtype == "U16" else 2)
    raw_file(tmp_path / "half", dtype, data, [2])
    with pytest.raises(DataError, match=f"half: x is {dtype}; expected float32.* or bfloat16"):
        load(tmp_path / "half")


# -- half precision -------------------------------------------------------------------------------
def test_every_float16_is_read_as_the_same_float32(tmp_path: Path) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    raw_file(tmp_path / "half", "F16", bits.tobytes(), [256, 256])
    found = load(tmp_path / "half")["x"]
    assert found.dtype == np.float32 and found.shape == (256, 256)
    np.testing.assert_array_equal(found.ravel(), bits.view(np.float16))  # NaN counts as equal


def test_every_bfloat16_is_read_as_the_same_float32(tmp_path: Path) -> None:
    """Sign, 8 bits of exponent, 7 of fraction: the value by the format's formula."""
    bits = np.arange(2**16, dtype=np.uint16)
    raw_file(tmp_path / "half", "BF16", bits.tobytes(), [2, 2**15])
    found = load(tmp_path / "half")["x"]
    assert found.dtype == np.float32 and found.shape == (2, 2**15) and found.flags.writeable
    exponent, fraction = (bits >> 7 & 255).astype(int), (bits & 127) / 128
    normal = np.ldexp(1 + fraction, exponent - 127)
    value = np.where(exponent == 0, np.ldexp(fraction, -126), normal)
    value = np.where(exponent == 255, np.where(fraction == 0, np.inf, np.nan), value)
    np.testing.assert_array_equal(found.ravel(), np.where(bits >> 15, -value, value))


def test_other_arrays_beside_bfloat16_are_as_they_are(tmp_path: Path) -> None:
    header = {
        "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [2, 10]},
        "c": {"dtype": "F16", "shape": [1], "data_offsets": [10, 12]},
    }
    text = json.dumps(header).encode()
    numbers = b"\x80\x3f" + (2**40).to_bytes(8, "little") + np.float16(0.1).tobytes()
    (tmp_path / "m").write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    found = load(tmp_path / "m")
    assert found["a"] == [1.0] and found["b"] == 2**40 and found["b"].shape == ()
    assert found["c"] == np.float32(np.float16(0.1))
    assert [found[n].dtype.name for n in "abc"] == ["float32", "int64", "float32"]


# -- .npz -----------------------------------------------------------------------------------------
def test_npz_files_come_back(tmp_path: Path) -> None:
    state = STATE | {"file": np.asfortranarray(np.arange(6.0).reshape(2, 3))}  # savez has no "file"
    save(state, tmp_path / "m.NPZ")
    with np.load(tmp_path / "m.NPZ") as theirs:
        assert set(theirs.files) == state.keys()
    for name, array in load(tmp_path / "m.NPZ").items():
        np.testing.assert_array_equal(array, state[name], strict=True)


def test_npz_files_of_others(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", half=np.float16([0.1]), weight=np.ones((2, 1)))
    found = load(tmp_path / "m.npz")
    assert found["half"].dtype == np.float32 and found["half"] == np.float16(0.1)
    np.savez(tmp_path / "m.npz", x=np.zeros(2, ">f4"), y=np.array([object()]), z=np.zeros(2, bool))
    with pytest.raises(DataError, match=r"m\.npz: cannot be read as \.npz file: Object arrays"):
        load(tmp_path / "m.npz")
    np.savez(tmp_path / "m.npz", x=np.zeros(2, ">f4"), y=np.zeros(2, bool))
    with pytest.raises(DataError, match="x is >f4, y is bool; expected float32"):
        load(tmp_path / "m.npz")


def test_an_npz_file_takes_no_metadata(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.npz: a \.npz file holds no metadata"):
        save(STATE, tmp_path / "m.npz", {"made by": "me"})


@pytest.mark.parametrize("keep", [0, 4, 30, -30])
def test_a_truncated_npz_is_an_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "m.npz"
    save(STATE, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"m\.npz: cannot be read as \.npz file"):
        load(path)


def test_a_model_is_restored_from_either_format(tmp_path: Path) -> None:
    model, other = gp.nn.BatchNorm1d(3), gp.nn.BatchNorm1d(3)
    model(gp.tensor(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)))
    for name in ("m.safetensors", "m.npz"):
        gp.save(model.state_dict(), tmp_path / name)
        other.load_state_dict(gp.load(tmp_path / name))
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[key], value, strict=True)
