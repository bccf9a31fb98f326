"""State dicts on disk: what is written is read, and what cannot be is one error."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from gradproof.runtime.errors import DataError, DTypeError
from gradproof.runtime.serialization import load, save

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


def test_a_saved_file_has_the_usual_permissions(tmp_path: Path) -> None:
    save({"x": np.zeros(1)}, tmp_path / "ours")
    (tmp_path / "usual").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "usual")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        save(STATE, tmp_path / "none" / "model")


def test_missing_files_and_folders_are_errors(tmp_path: Path) -> None:
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


def test_another_format_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(DataError, match="cannot be read as safetensors file"):
        load(path)


@pytest.mark.parametrize("dtype", ["F16", "BF16", "U16"])
def test_other_element_types_are_named(tmp_path: Path, dtype: str) -> None:
    raw_file(tmp_path / "half", dtype, bytes(4), [2])
    with pytest.raises(DataError, match=f"half: x is {dtype}; expected float32"):
        load(tmp_path / "half")
