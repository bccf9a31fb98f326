"""Data sets: the shipped digits, each file format and its damaged forms, and mini-batches."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tempfile
import zipfile
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradproof.runtime.data import Dataset, batches, load_dataset, read_cifar_batch, read_idx
from gradproof.runtime.data.cifar import ALL_CIFAR_NAMES, RECORD_BYTES, TRAIN_NAMES
from gradproof.runtime.data.idx import ELEMENT_TYPES
from gradproof.runtime.errors import DataError, DTypeError, GradproofError, ShapeError

UCI_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
SPLIT_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
CIFAR_CLASSES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def idx_bytes(array: np.ndarray[Any, Any], code: int = 8) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(ELEMENT_TYPES[code]).tobytes()


def mnist_arrays() -> dict[str, np.ndarray[Any, Any]]:
    levels = np.arange(6 * 5 * 4, dtype=np.uint8).reshape(6, 5, 4)
    return {
        "train-images-idx3-ubyte": levels,
        "train-labels-idx1-ubyte": np.array([0, 9, 3, 3, 1, 2], np.uint8),
        "t10k-images-idx3-ubyte": levels[:2] + 100,
        "t10k-labels-idx1-ubyte": np.array([4, 5], np.uint8),
    }


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    for name, array in mnist_arrays().items():
        (tmp_path / name).write_bytes(idx_bytes(array))
    return tmp_path


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    for k, name in enumerate((*TRAIN_NAMES, "test_batch.bin")):
        record = bytes([k]) + bytes([k] * 1024) + bytes([100] * 1024) + bytes(range(256)) * 4
        (tmp_path / name).write_bytes(record * 2)
    (tmp_path / "batches.meta.txt").write_text("\n".join(CIFAR_CLASSES) + "\n\n")
    return tmp_path


def npy(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def save_npz(path: Path, **changes: Any) -> Path:
    x = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    arrays: dict[str, Any] = {
        "x_train": x,
        "y_train": np.array([0, 1, 2]),
        "x_test": x[:1],
        "y_test": [1],
    }
    arrays.update(changes)
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in arrays.items():
            if value is not None:
                archive.writestr(f"{key}.npy", value if isinstance(value, bytes) else npy(value))
    return path


def toy(**changes: Any) -> Dataset:
    x = np.zeros((3, 1, 2, 2), np.float32)
    fields: dict[str, Any] = {"name": "toy", "classes": ("cat", "dog")}
    fields.update(x_train=x, y_train=np.array([0, 1, 1], np.int32))
    fields.update(x_test=x[:2], y_test=np.array([0, 1], np.int32))
    return Dataset(**{**fields, **changes})


def set_at(index: tuple[int, ...], value: float) -> np.ndarray[Any, Any]:
    x = np.zeros((3, 1, 2, 2), np.float32)
    x[index] = value
    return x


class TestDataset:
    def test_arrays_are_read_only_and_contiguous(self) -> None:
        columns = np.zeros((2, 1, 2, 3), np.float32).transpose(3, 1, 2, 0)
        data = toy(x_train=columns, x_test=columns, y_test=np.zeros(3, np.int32))
        assert data.image_shape == (1, 2, 2)
        assert data.x_train.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            data.x_train[0] = 1
        assert columns.flags.writeable

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"x_train": set_at((2, 0, 1, 0), np.nan)}, DataError, r"x_train\[2, 0, 1, 0\] is nan"),
            (
                {"x_test": set_at((1, 0, 0, 1), -np.inf)[:2]},
                DataError,
                r"x_test\[1, 0, 0, 1\] is -",
            ),
            ({"y_train": np.array([0, 2, -1], np.int32)}, DataError, r"y_train\[1\] is 2.*0\.\.1 "),
            ({"y_test": np.array([0, -1], np.int32)}, DataError, r"y_test\[1\] is -1.*0\.\.1 "),
            ({"y_train": np.zeros(2, np.int32)}, ShapeError, "3 images and y_train 2 labels"),
            ({"x_train": np.zeros((3, 2, 2), np.float32)}, ShapeError, r"\(3, 2, 2\), expected"),
            ({"y_test": np.zeros((2, 1), np.int32)}, ShapeError, r"y_test has shape \(2, 1\)"),
            ({"x_train": np.zeros((3, 1, 2, 2))}, DTypeError, "float64, expected float32"),
            ({"y_train": np.zeros(3, np.int64)}, DTypeError, "int64, expected int32"),
            ({"y_train": [0, 1, 1]}, DTypeError, "y_train is a list"),
            ({"x_test": np.zeros((0, 1, 2, 2), np.float32)}, ShapeError, "x_test is empty"),
            ({"x_test": np.zeros((2, 1, 2, 3), np.float32)}, ShapeError, r"those of x_train, \(1,"),
            ({"classes": ()}, DataError, "at least one name"),
            ({"classes": ("cat", "cat")}, DataError, "repeated"),
            ({"classes": ["cat", "dog"]}, DTypeError, "tuple of names"),
        ],
    )
    def test_refuses(self, changes: Any, error: type[GradproofError], message: str) -> None:
        with pytest.raises(error, match=message):
            toy(**changes)


class TestDigits:
    def test_is_the_published_file(self) -> None:
        file = resources.files("gradproof.runtime.data").joinpath("files", "digits.npz")
        with resources.as_file(file) as path, np.load(path, allow_pickle=False) as archive:
            rows = np.column_stack([archive["images"].reshape(-1, 64), archive["labels"]])
        text = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())
        assert hashlib.sha256(text.encode()).hexdigest() == UCI_SHA256

    def test_types_and_range(self) -> None:
        data = load_dataset("digits")
        assert data.x_train.shape == (1442, 1, 8, 8)
        assert data.x_test.shape == (355, 1, 8, 8)
        assert data.x_train.dtype == data.x_test.dtype == np.float32
        assert data.y_train.dtype == data.y_test.dtype == np.int32
        assert data.x_train.min() == 0 and data.x_train.max() == 1
        assert data.classes == tuple("0123456789")

    def test_held_out_part_is_a_fifth_of_each_class(self) -> None:
        data = load_dataset("digits")
        train, test = np.bincount(data.y_train), np.bincount(data.y_test)
        assert (test == (train + test) // 5).all()
        assert test.tolist() == [35, 36, 35, 36, 36, 36, 36, 35, 34, 36]

    def test_loading_twice_gives_the_same(self) -> None:
        first, second = load_dataset("digits"), load_dataset("digits")
        for name in SPLIT_ARRAYS:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))

    def test_parts_do_not_overlap(self) -> None:
        data = load_dataset("digits")
        train = {image.tobytes() for image in data.x_train}
        assert not any(image.tobytes() in train for image in data.x_test)


class TestIdx:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    @pytest.mark.parametrize("separator", ["-idx", ".idx"])
    @pytest.mark.parametrize("as_file", [False, True])
    def test_loads_each_spelling(
        self, tmp_path: Path, suffix: str, separator: str, as_file: bool
    ) -> None:
        for name, array in mnist_arrays().items():
            content = idx_bytes(array)
            path = tmp_path / (name.replace("-idx", separator) + suffix)
            path.write_bytes(gzip.compress(content) if suffix else content)
        data = load_dataset(path if as_file else str(tmp_path))
        expected = mnist_arrays()["train-images-idx3-ubyte"][:, None] / np.float32(255)
        np.testing.assert_array_equal(data.x_train, expected)
        assert data.y_train.tolist() == [0, 9, 3, 3, 1, 2]
        assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int32
        assert data.y_test.tolist() == [4, 5]
        assert data.name == tmp_path.name

    def test_plain_file_is_read_unless_the_gzip_file_is_named(self, mnist: Path) -> None:
        other = np.array([8, 8], np.uint8)
        named = mnist / "t10k-labels-idx1-ubyte.gz"
        named.write_bytes(gzip.compress(idx_bytes(other)))
        assert load_dataset(mnist).y_test.tolist() == [4, 5]
        assert load_dataset(named).y_test.tolist() == [8, 8]

    @pytest.mark.parametrize("code", ELEMENT_TYPES)
    def test_reads_each_element_type(self, tmp_path: Path, code: int) -> None:
        path = tmp_path / "a"
        path.write_bytes(idx_bytes(np.array([[1, 2, 3], [4, 5, 100]]), code))
        array = read_idx(path)
        assert array.tolist() == [[1, 2, 3], [4, 5, 100]]
        assert array.dtype.isnative and array.dtype == ELEMENT_TYPES[code].newbyteorder("=")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "begins with bytes none"),
            (b"\0\0\x08", "begins with bytes 00 00 08"),
            (b"\x1f\x8b\x08\x01", "begins with bytes 1f 8b 08 01, expected an IDX magic"),
            (b"\0\0\x0a\x01\0\0\0\x01\0", "element type 0x0a, expected one of 0x08"),
            (b"\0\0\x08\0", "0 dimensions declared, expected 1..4"),
            (b"\0\0\x08\x05" + b"\0\0\0\x01" * 5 + b"\0", "5 dimensions declared"),
            (b"\0\0\x08\x03" + b"\0\0\0\x01" * 2, "header ends after 12 bytes, expected 16"),
            (b"\0\0\x08\x01\0\0\0\0", r"declares the shape \(0,\)"),
            (b"\0\0\x08\x01\0\0\0\x03ab", "only 2 bytes of elements, expected 3"),
            (b"\0\0\x08\x01\0\0\0\x03abcd", "more bytes of elements, expected 3"),
            (b"\0\0\x0e\x04" + b"\xff" * 16 + b"abc", "only 3 bytes of elements, expected 27222"),
        ],
    )
    @pytest.mark.parametrize("name", ["a", "a.gz"])
    def test_refuses(self, tmp_path: Path, name: str, content: bytes, message: str) -> None:
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name == "a.gz" else content)
        with pytest.raises(DataError, match=message) as caught:
            read_idx(path)
        assert str(path) in str(caught.value)

    def test_refuses_bad_gzip(self, tmp_path: Path) -> None:
        path = tmp_path / "a.gz"
        content = idx_bytes(np.arange(100, dtype=np.uint8))
        packed = bytearray(gzip.compress(content))
        wrong_checksum = packed[:-8] + b"\0\0\0\0" + packed[-4:]
        wrong_code = packed[:10] + b"\xff" * 20
        for damaged in (content, packed[:-9], packed[:40], wrong_checksum, wrong_code):
            path.write_bytes(bytes(damaged))
            with pytest.raises(DataError, match=r"a\.gz: cannot be read as gzip-compressed IDX"):
                read_idx(path)

    def test_refuses_a_missing_file(self, mnist: Path) -> None:
        with pytest.raises(DataError, match="nowhere: cannot be read as IDX"):
            read_idx(mnist / "nowhere")
        (mnist / "train-labels-idx1-ubyte").unlink()
        with pytest.raises(
            DataError, match=r"no train-labels-idx1-ubyte, .* or train-labels\.idx1"
        ):
            load_dataset(mnist)

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("train-labels-idx1-ubyte", np.zeros(5), "5 labels, expected 6, one for each image"),
            ("train-labels-idx1-ubyte", np.array([0, 1, 2, 10, 0, 0]), r"label\[3\] is 10.*0\.\.9"),
            ("train-labels-idx1-ubyte", np.zeros((6, 1)), "2 dimensions of uint8, expected 1 of"),
            ("t10k-images-idx3-ubyte", np.zeros((2, 5, 5)), r"those of x_train, \(1, 5, 4\)"),
            ("t10k-images-idx3-ubyte", np.zeros(40), "1 dimensions of uint8, expected 3 of"),
        ],
    )
    def test_refuses_files_that_do_not_fit(
        self, mnist: Path, name: str, array: Any, message: str
    ) -> None:
        (mnist / name).write_bytes(idx_bytes(array))
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(mnist)
        assert str(mnist) in str(caught.value)

    def test_refuses_another_element_type_for_images(self, mnist: Path) -> None:
        (mnist / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 5, 4)), 0x0D))
        with pytest.raises(DataError, match="3 dimensions of float32, expected 3 of uint8"):
            load_dataset(mnist)

    def test_refuses_two_spellings_of_one_file(self, mnist: Path) -> None:
        copy = (mnist / "train-images-idx3-ubyte").read_bytes()
        (mnist / "train-images.idx3-ubyte").write_bytes(copy)
        with pytest.raises(DataError, match="ambiguous, has train-images-idx3-ubyte and train-im"):
            load_dataset(mnist)

    @given(tail=st.binary(max_size=64), magic=st.sampled_from([b"", b"\0\0\x08\x01", b"\0\0\x0d"]))
    @settings(max_examples=200, deadline=None)
    def test_random_bytes_raise_only_data_errors(self, magic: bytes, tail: bytes) -> None:
        assert_only_data_errors(read_idx, "a", magic + tail)
        assert_only_data_errors(read_idx, "a.gz", magic + tail)
        assert_only_data_errors(read_idx, "a.gz", gzip.compress(magic + tail))


class TestCifar:
    def test_loads(self, cifar: Path) -> None:
        data = load_dataset(cifar)
        assert data.x_train.shape == (10, 3, 32, 32) and data.x_test.shape == (2, 3, 32, 32)
        assert data.x_train.dtype == np.float32 and data.y_train.dtype == np.int32
        assert data.y_train.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert data.y_test.tolist() == [5, 5]
        assert data.classes == tuple(CIFAR_CLASSES)
        red, green, blue = data.x_train[3]
        assert (red == np.float32(1 / 255)).all() and (green == np.float32(100 / 255)).all()
        np.testing.assert_array_equal(blue[1, :4] * 255, [32, 33, 34, 35])

    @pytest.mark.parametrize("name", ALL_CIFAR_NAMES)
    def test_refuses_a_missing_file(self, cifar: Path, name: str) -> None:
        (cifar / name).unlink()
        with pytest.raises(DataError, match=f"no {name}, expected the binary version of CIFAR-10"):
            load_dataset(cifar)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("test_batch.bin", b"", "0 bytes, expected a positive multiple of 3073"),
            ("data_batch_2.bin", bytes(3072), "3072 bytes, expected a positive multiple"),
            ("data_batch_5.bin", bytes(3074), "3074 bytes, expected a positive multiple"),
            ("data_batch_1.bin", bytes(3073) + b"\x0a" + bytes(3072), r"label\[1\] is 10.*0\.\.9"),
            ("batches.meta.txt", b"cat\ndog\n", "2 class names, expected 10"),
            ("batches.meta.txt", b"\xff\n" * 10, "not UTF-8"),
            ("batches.meta.txt", b"cat\n" * 10, "none empty or repeated"),
        ],
    )
    def test_refuses(self, cifar: Path, name: str, content: bytes, message: str) -> None:
        (cifar / name).write_bytes(content)
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(cifar)
        assert str(cifar) in str(caught.value)

    @given(head=st.binary(max_size=40), length=st.sampled_from([None, RECORD_BYTES, 3074]))
    @settings(max_examples=100, deadline=None)
    def test_random_bytes_raise_only_data_errors(self, head: bytes, length: int | None) -> None:
        content = head if length is None else head.ljust(length, b"\0")
        assert_only_data_errors(read_cifar_batch, "a.bin", content)


def assert_only_data_errors(reader: Any, name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            reader(path)
        except DataError as error:
            assert str(path) in str(error)


def huge_header() -> bytes:
    file = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (10**17,)}
    np.lib.format.write_array_header_1_0(file, claim)
    return file.getvalue()


HUGE_HEADER = huge_header()
INT_IMAGES = np.zeros((3, 4, 5), np.int32)


class TestNpz:
    def test_levels_are_scaled(self, tmp_path: Path) -> None:
        data = load_dataset(save_npz(tmp_path / "toy.npz"))
        assert data.name == "toy" and data.classes == ("0", "1", "2")
        assert data.x_train.shape == (3, 1, 4, 5) and data.y_train.dtype == np.int32
        levels = np.arange(60, dtype=np.float32).reshape(3, 1, 4, 5)
        np.testing.assert_array_equal(data.x_train, levels / np.float32(255))

    @pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
    def test_floats_are_kept(self, tmp_path: Path, dtype: str) -> None:
        x = np.linspace(-2, 300, 3 * 4 * 5).reshape(3, 4, 5).astype(dtype)
        data = load_dataset(save_npz(tmp_path / "toy.npz", x_train=x, x_test=x[:1]))
        np.testing.assert_array_equal(data.x_train[:, 0], x.astype(np.float32))
        assert data.x_train.dtype == np.float32

    @pytest.mark.parametrize("channels", [1, 3])
    def test_channel_axis_is_found(self, tmp_path: Path, channels: int) -> None:
        first = np.arange(3 * channels * 20, dtype=np.uint8).reshape(3, channels, 4, 5)
        last = first.transpose(0, 2, 3, 1)
        one = load_dataset(save_npz(tmp_path / "1.npz", x_train=first, x_test=first[:1]))
        two = load_dataset(save_npz(tmp_path / "2.npz", x_train=last, x_test=last[:1]))
        assert one.image_shape == (channels, 4, 5)
        np.testing.assert_array_equal(one.x_train, two.x_train)

    def test_class_names(self, tmp_path: Path) -> None:
        data = load_dataset(save_npz(tmp_path / "toy.npz", classes=["ant", "bee", "cat", "dog"]))
        assert data.classes == ("ant", "bee", "cat", "dog")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"y_test": None}, "no array y_test; found x_train, y_train, x_test"),
            ({"x_train": np.array([{}], object)}, "Object arrays cannot be loaded"),
            ({"x_train": INT_IMAGES}, "x_train is int32 and x_test uint8"),
            ({"x_train": INT_IMAGES, "x_test": INT_IMAGES}, "x_train has dtype int32, expected u"),
            ({"x_train": np.zeros((3, 4, 5), "f4")}, "x_train is float32 and x_test uint8"),
            ({"x_test": np.zeros((1, 4, 5), "f4")}, "x_train is uint8 and x_test float32"),
            ({"x_train": np.zeros((3, 20), np.uint8)}, r"shape \(3, 20\), expected \(N, H, W\)"),
            ({"x_train": np.zeros((3, 3, 5, 3), np.uint8)}, "both could be C"),
            ({"x_train": np.zeros((3, 4, 5, 4), np.uint8)}, "1 or 3 as either the second or"),
            ({"x_test": np.zeros((1, 5, 5), np.uint8)}, r"those of x_train, \(1, 4, 5\)"),
            ({"x_test": np.zeros((0, 4, 5), np.uint8)}, "x_test is empty"),
            ({"x_test": np.zeros((2, 4, 5), np.uint8)}, "2 images and y_test 1 labels"),
            ({"y_train": np.zeros(3)}, "y_train has dtype float64"),
            ({"y_train": np.zeros(3, bool)}, "y_train has dtype bool"),
            ({"y_train": np.zeros((3, 1), int)}, r"shape \(3, 1\), expected integers of shape"),
            ({"y_test": np.zeros(0, int)}, r"shape \(0,\), expected integers of shape"),
            ({"y_test": np.array([-1])}, r"y_test\[0\] is -1, allowed 0\.\.2"),
            ({"y_test": np.array([2**63], np.uint64)}, "label 9223372036854775808, expected at"),
            ({"classes": ["ant", "bee"]}, r"y_train\[2\] is 2, allowed 0\.\.1"),
            ({"y_train": b"0, 1, 2"}, "y_train is not stored as a NumPy array"),
            ({"x_train": npy(np.zeros(9))[:-1]}, "cannot be read as .npz data set"),
            ({"x_train": HUGE_HEADER}, "0 bytes of elements, expected 800000000000000000 for"),
            ({"classes": [0, 1, 2]}, "classes has dtype int64"),
            ({"classes": ["ant", "ant", "bee"]}, "repeated"),
        ],
    )
    def test_refuses(self, tmp_path: Path, changes: Any, message: str) -> None:
        path = save_npz(tmp_path / "toy.npz", **changes)
        with pytest.raises(DataError, match=message) as caught:
            load_dataset(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
    def test_refuses_numbers_that_float32_cannot_hold(self, tmp_path: Path, value: float) -> None:
        x = np.zeros((3, 4, 5))
        x[1, 2, 3] = value
        path = save_npz(tmp_path / "toy.npz", x_train=x, x_test=np.zeros((1, 4, 5)))
        message = "holds 1e.300" if value == 1e300 else r"x_train\[1, 2, 3\] is (nan|inf)"
        with pytest.raises(DataError, match=message):
            load_dataset(path)

    def test_refuses_what_is_no_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "toy.npz"
        whole = save_npz(path).read_bytes()
        with (tmp_path / "one.npy").open("wb") as file:
            np.save(file, np.zeros(3))
        for content in (b"", b"PK", whole[: len(whole) // 2], (tmp_path / "one.npy").read_bytes()):
            path.write_bytes(content)
            with pytest.raises(DataError, match=r"toy\.npz: cannot be read as \.npz data set"):
                load_dataset(path)

    @given(st.data())
    @settings(max_examples=150, deadline=None)
    def test_a_damaged_byte_raises_only_data_errors(self, data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder:
            content = bytearray(save_npz(Path(folder, "toy.npz")).read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        assert_only_data_errors(load_dataset, "toy.npz", bytes(content))


class TestSpec:
    @pytest.mark.parametrize("spec", ["mnist", "", "no/such/file.npz", "digits/"])
    def test_unknown_spec_says_what_was_looked_for(self, spec: str) -> None:
        with pytest.raises(DataError, match=r"no such file or folder; expected 'digits'; .*CIFAR"):
            load_dataset(spec)

    def test_unknown_file_and_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="a folder with no known file; expected 'digits'"):
            load_dataset(tmp_path)
        (tmp_path / "a.csv").write_text("1,2")
        with pytest.raises(DataError, match="a file of unknown kind; expected 'digits'"):
            load_dataset(tmp_path / "a.csv")

    def test_folder_with_both_formats_is_ambiguous(self, mnist: Path) -> None:
        (mnist / "test_batch.bin").write_bytes(bytes(RECORD_BYTES))
        with pytest.raises(DataError, match="ambiguous, the folder has both IDX and CIFAR-10"):
            load_dataset(mnist)

    def test_name_too_long_for_the_system(self) -> None:
        with pytest.raises(DataError, match=r"cannot be opened|no such file"):
            load_dataset("x" * 5000)


def labels_of(count: int, batch_size: int, **options: Any) -> list[list[int]]:
    defaults: dict[str, Any] = {"shuffle": True, "seed": 1, "epoch": 0}
    x = np.arange(count * 3, dtype=np.float32).reshape(count, 3)
    pairs = list(batches(x, np.arange(count), batch_size, **{**defaults, **options}))
    for images, labels in pairs:
        assert images.flags.c_contiguous and labels.flags.c_contiguous
        np.testing.assert_array_equal(images[:, 0], labels * 3)
    return [labels.tolist() for _, labels in pairs]


class TestBatches:
    @given(st.integers(1, 50), st.integers(1, 60), st.booleans())
    def test_each_example_comes_once(self, count: int, batch_size: int, shuffle: bool) -> None:
        found = labels_of(count, batch_size, shuffle=shuffle)
        assert sorted(chain(*found)) == list(range(count))
        assert all(len(labels) == batch_size for labels in found[:-1])

    def test_order_follows_seed_and_epoch(self) -> None:
        first = labels_of(100, 32)
        assert first == labels_of(100, 32)
        assert first != labels_of(100, 32, epoch=1)
        assert first != labels_of(100, 32, seed=2)
        assert labels_of(100, 32, seed=1, epoch=2) != labels_of(100, 32, seed=2, epoch=1)
        assert list(chain(*first)) == list(chain(*labels_of(100, 7)))

    def test_order_is_pinned(self) -> None:
        assert labels_of(8, 8) == [[2, 4, 7, 5, 0, 6, 3, 1]]

    def test_drop_last(self) -> None:
        assert [len(labels) for labels in labels_of(10, 4)] == [4, 4, 2]
        assert [len(labels) for labels in labels_of(10, 4, drop_last=True)] == [4, 4]
        assert [len(labels) for labels in labels_of(8, 4, drop_last=True)] == [4, 4]

    def test_columns_become_contiguous(self) -> None:
        x = np.arange(12.0).reshape(3, 4).T
        pairs = list(batches(x, np.arange(4), 3, shuffle=False, seed=0, epoch=0))
        assert all(images.flags.c_contiguous for images, _ in pairs)

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"batch_size": 0}, DataError, "batch_size is 0, expected at least 1"),
            ({"batch_size": 2.0}, DTypeError, r"batch_size is 2\.0, expected an integer"),
            ({"seed": -1}, DataError, "seed is -1, expected at least 0"),
            ({"epoch": -1}, DataError, "epoch is -1, expected at least 0"),
            ({"y": np.zeros(4)}, ShapeError, r"x has shape \(5, 2\) and y \(4,\)"),
            ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, ShapeError, "at least 1"),
            ({"y": np.zeros(())}, ShapeError, r"y \(\), expected the same length"),
            ({"batch_size": 6, "drop_last": True}, ShapeError, "no batch would be left"),
        ],
    )
    def test_refuses_at_the_call(
        self, changes: Any, error: type[GradproofError], message: str
    ) -> None:
        good = {"x": np.zeros((5, 2)), "y": np.zeros(5), "batch_size": 2, "seed": 0, "epoch": 0}
        with pytest.raises(error, match=message):
            batches(**{"shuffle": True, **good, **changes})
