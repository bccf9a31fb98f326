"""The loader, its transforms, and images that stay on disk."""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gradproof.runtime.data import (
    DataLoader,
    Dataset,
    ImageFolder,
    ImageSource,
    MemoryMap,
    batches,
    fingerprint,
    load_dataset,
    load_digits,
    transforms,
)
from gradproof.runtime.data.affine import RandomAffine
from gradproof.runtime.data.draws import Draws, permutation
from gradproof.runtime.data.folder import load_folder
from gradproof.runtime.data.npy import load_npy
from gradproof.runtime.data.transforms import channel_statistics
from gradproof.runtime.errors import ArgumentError, DataError, GradproofError, ShapeError

X = np.arange(23 * 2 * 4 * 4, dtype=np.float32).reshape(23, 2, 4, 4)
Y = np.arange(23, dtype=np.int32)
AUGMENT = transforms.Compose([transforms.RandomCrop(4, 1), transforms.RandomHorizontalFlip()])


def labels(loader: DataLoader, epoch: int, start: int = 0) -> list[list[int]]:
    return [y.tolist() for _, y in loader.epoch(epoch, start)]


# -- the loader -------------------------------------------------------------------------------
@pytest.mark.parametrize("prefetch", [0, 1, 3, 50])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 40])
def test_an_epoch_is_that_of_batches(prefetch: int, batch_size: int) -> None:
    loader = DataLoader(X, Y, batch_size, shuffle=True, seed=4, prefetch=prefetch)
    for epoch in (0, 3):
        expected = list(batches(X, Y, batch_size, shuffle=True, seed=4, epoch=epoch))
        found = list(loader.epoch(epoch))
        assert len(found) == len(expected) == len(loader)
        for (x, y), (a, b) in zip(found, expected, strict=True):
            assert np.array_equal(x, a) and np.array_equal(y, b)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        str(labels(DataLoader(X, Y, 4, shuffle=True, seed=seed), epoch))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_goes_on_where_it_was_left(start: int) -> None:
    """With the same crops and flips: they depend on the number of the batch."""
    loader = DataLoader(X, Y, 4, shuffle=True, seed=1, transform=AUGMENT)
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start))
    assert len(rest) == 6 - min(start, 6)
    for (x, y), (a, b) in zip(rest, whole[start:], strict=True):
        assert np.array_equal(x, a) and np.array_equal(y, b)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("shuffle", [False, True])
def test_shards_together_see_what_one_sees(ranks: int, shuffle: bool) -> None:
    options: dict[str, Any] = {"shuffle": shuffle, "seed": 2, "transform": AUGMENT}
    whole = list(DataLoader(X, Y, 6, **options).epoch(1))
    parts = [list(DataLoader(X, Y, 6, shard=(r, ranks), **options).epoch(1)) for r in range(ranks)]
    for k, (x, y) in enumerate(whole):
        for r in range(ranks):
            assert np.array_equal(parts[r][k][0], x[r::ranks])
            assert np.array_equal(parts[r][k][1], y[r::ranks])


def test_drop_last_leaves_out_what_is_less_than_a_batch() -> None:
    loader = DataLoader(X, Y, 5, drop_last=True)
    assert len(loader) == 4 and [len(y) for y in labels(loader, 0)] == [5] * 4


class Slow(ImageSource):
    """Counts what is read, and fails at one image."""

    def __init__(self, bad: int = -1) -> None:
        super().__init__(X.shape)  # type: ignore[arg-type]
        self.read_so_far, self.bad = 0, bad
        self.threads: set[str] = set()

    def read(self, indices: np.ndarray) -> np.ndarray:
        self.threads.add(threading.current_thread().name)
        if self.bad in indices:
            raise DataError(f"image {self.bad} is broken")
        self.read_so_far += len(indices)
        return X[indices]


def wait_for(source: Slow, count: int) -> None:
    deadline = time.monotonic() + 10
    while source.read_so_far < count and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)  # what is too much would come now
    assert source.read_so_far == count


def test_batches_are_made_ahead_in_another_thread() -> None:
    source = Slow()
    epoch = DataLoader(source, Y, 2, prefetch=3).epoch(0)
    assert source.read_so_far == 0
    next(epoch)
    wait_for(source, 2 * 4)
    assert all(name.startswith("gradproof-loader") for name in source.threads)
    epoch.close()  # type: ignore[attr-defined]
    assert not [t for t in threading.enumerate() if t.name.startswith("gradproof-loader")]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_comes_in_its_turn(prefetch: int) -> None:
    epoch = DataLoader(Slow(bad=5), Y, 2, prefetch=prefetch).epoch(0)
    assert [next(epoch)[1].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="image 5 is broken"):
        next(epoch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": (2, 2)}, r"shard \(2, 2\)"),
        ({"shard": (-1, 2)}, "shard"),
        ({"prefetch": -1}, "prefetch is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_a_wrong_loader_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        DataLoader(X, Y, **({"batch_size": 2} | options))


def test_images_and_labels_are_as_many() -> None:
    with pytest.raises(ShapeError, match="expected the same length"):
        DataLoader(X, Y[1:], 2)


# -- random numbers ---------------------------------------------------------------------------
def test_a_permutation_is_one() -> None:
    assert sorted(permutation(1000, [3, 4])) == list(range(1000))
    assert permutation(6, [1, 2]).tolist() == permutation(6, [1, 2]).tolist()


def test_draws_are_uniform() -> None:
    draws = Draws(100_000, [1])
    first, second = draws.uniform(), draws.uniform()
    assert first.min() >= 0 and first.max() < 1
    assert abs(first.mean() - 0.5) < 5 / np.sqrt(12 * 100_000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(100_000)
    counts = np.bincount(draws.integers(9), minlength=9)
    assert len(counts) == 9 and abs(counts - 100_000 / 9).max() < 5 * np.sqrt(100_000 / 9)


# -- transforms -------------------------------------------------------------------------------
def test_a_crop_is_a_window_of_the_padded_image() -> None:
    images = X[:, :, :, :3]
    cropped = transforms.RandomCrop(3, padding=2)(images, Draws(len(images), [5]))
    assert cropped.shape == (23, 2, 3, 3)
    padded = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    places = []
    for image, crop in zip(padded, cropped, strict=True):
        fits = [
            (i, j)
            for i in range(image.shape[1] - 2)
            for j in range(image.shape[2] - 2)
            if np.array_equal(image[:, i : i + 3, j : j + 3], crop)
        ]
        places.append(fits[0])
    assert len({*places}) > 5
    assert {i for i, _ in places} | {j for _, j in places} <= set(range(6))


@pytest.mark.parametrize("p", [0.0, 1.0, 0.5])
def test_a_flip_turns_left_and_right(p: float) -> None:
    flipped = transforms.RandomHorizontalFlip(p)(X, Draws(len(X), [6]))
    turned = [np.array_equal(a, b[..., ::-1]) for a, b in zip(flipped, X, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(flipped, X, strict=True)]
    assert all(t != s for t, s in zip(turned, same, strict=True))
    assert sum(turned) in {0.0: [0], 1.0: [23], 0.5: range(4, 20)}[p]


def test_normalised_images_have_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(0).normal(3, 2, (50, 3, 8, 8)).astype(np.float32)
    mean, std = channel_statistics(images, step=7)
    assert mean == pytest.approx(images.mean((0, 2, 3)), rel=1e-5)
    assert std == pytest.approx(images.std((0, 2, 3)), rel=1e-5)
    normal = transforms.Normalize(mean, std)(images, Draws(50, [0]))
    assert normal.dtype == np.float32
    found = [v for pair in channel_statistics(normal) for v in pair]
    assert found == pytest.approx([0, 0, 0, 1, 1, 1], abs=1e-5)


def test_a_transform_leaves_its_input_alone() -> None:
    before = X.copy()
    both = transforms.Compose([*AUGMENT.transforms, transforms.Normalize([0, 0], [1, 2])])
    both(X, Draws(len(X), [1]))
    assert np.array_equal(X, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: transforms.RandomCrop(0), ShapeError, "size=0"),
        (lambda: transforms.RandomCrop(2, -1), ShapeError, "padding=-1"),
        (lambda: transforms.RandomCrop(9)(X, Draws(23, [0])), ShapeError, "at least size=9"),
        (lambda: transforms.RandomCrop(9, 2)(X, Draws(23, [0])), ShapeError, "at least size=9"),
        (lambda: transforms.RandomHorizontalFlip(1.5), ArgumentError, "p=1.5"),
        (lambda: transforms.Normalize([0.5], [0.0]), ArgumentError, "std"),
        (lambda: transforms.Normalize([0.5], [1, 2]), ShapeError, "1 means and 2 deviations"),
        (lambda: transforms.Normalize([0], [1])(X, Draws(23, [0])), ShapeError, "2 channels"),
    ],
)
def test_a_wrong_transform_is_an_error(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_transform_shows_its_options() -> None:
    both = transforms.Compose([transforms.RandomCrop(3, padding=2), transforms.Resize(8)])
    assert [repr(t) for t in both.transforms] == ["RandomCrop(3, padding=2)", "Resize((8, 8))"]
    assert repr(transforms.RandomHorizontalFlip(0.25)) == "RandomHorizontalFlip(p=0.25)"
    assert repr(transforms.Normalize([0.5], [2.0])) == "Normalize(mean=[0.5], std=[2.0])"
    moved = RandomAffine(10.0, (0.1, 0.2), (0.5, 2.0))
    assert repr(moved) == "RandomAffine((-10.0, 10.0), translate=(0.1, 0.2), scale=(0.5, 2.0))"


# -- on disk ----------------------------------------------------------------------------------
def write_npy(folder: Path, **changed: Any) -> Path:
    levels = np.arange(10 * 3 * 4 * 4, dtype=np.uint8).reshape(10, 3, 4, 4)
    arrays = {"x_train": levels, "y_train": np.arange(10) % 3, "x_test": levels[:4]}
    arrays |= {"y_test": np.arange(4) % 3} | changed
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_folder_of_npy_files_stays_on_disk(tmp_path: Path) -> None:
    data = load_dataset(write_npy(tmp_path / "maps"))
    assert isinstance(data.x_train, MemoryMap) and data.classes == ("0", "1", "2")
    levels = np.load(tmp_path / "maps" / "x_train.npy")
    expected = levels / np.float32(255)
    assert np.array_equal(data.x_train[2:5], expected[2:5])
    assert np.array_equal(data.x_train[np.array([7, 1])], expected[[7, 1]])
    images, _ = next(DataLoader(data.x_train, data.y_train, 4, shuffle=True).epoch(0))
    assert np.array_equal(images, expected[permutation(10, [0, 0])[:4]])
    (tmp_path / "maps" / "classes.txt").write_text("cat\ndog\n\nowl\n")
    assert load_dataset(tmp_path / "maps").classes == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x_train": np.zeros((2, 2))}, "x_train.npy: images are float64"),
        ({"x_test": np.zeros((0, 3, 4, 4), np.uint8)}, "not empty"),
        ({"x_test": np.zeros((4, 3, 5, 4), np.uint8)}, "expected those of x_train"),
        ({"y_test": np.zeros(4)}, "y_test.npy: float64"),
        ({"y_test": np.array([0, 1, -1, 0])}, r"label\[2\] is -1"),
        ({"y_train": np.arange(9)}, "10 images and y_train 9 labels"),
        ({"y_train": np.full(10, 2**20)}, "label 1048576, expected at most"),
        ({"y_train": np.full(10, 2**40)}, "y_train.npy: label"),
        ({"x_train": np.array([{}])}, "x_train.npy: cannot be read"),
    ],
)
def test_a_wrong_npy_file_is_named(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(write_npy(tmp_path, **changed))


def test_a_missing_npy_file_is_named(tmp_path: Path) -> None:
    (write_npy(tmp_path) / "y_test.npy").unlink()
    with pytest.raises(DataError, match=r"no y_test\.npy, expected x_train\.npy, y_train\.npy"):
        load_npy(tmp_path)


def test_a_number_that_is_not_finite_is_found_when_it_is_read(tmp_path: Path) -> None:
    x = np.zeros((10, 1, 4, 4), np.float32)
    x[6, 0, 1, 1] = np.inf
    data = load_dataset(write_npy(tmp_path, x_train=x, x_test=x[:4]))
    assert data.x_train[:6].max() == 0
    with pytest.raises(DataError, match="image 6 has a number that is not finite"):
        data.x_train[4:8]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def pictures(root: Path) -> Path:
    for part, count in (("train", 3), ("val", 2)):
        for k in range(count):
            picture(root / part / "red" / f"{k}.png", (255, 0, 0))
            picture(root / part / "blue" / f"{k}.jpg", (0, 0, 255), (6, 20))
    return root


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    data = load_dataset(pictures(tmp_path / "photos"), image_size=4)
    assert repr(data) == (
        "Dataset(name='photos', train=6, test=4, image_shape=(3, 4, 4), classes=2)"
    )
    assert data.classes == ("blue", "red") and data.y_train.tolist() == [0, 0, 0, 1, 1, 1]
    blue, red = data.x_train[np.array([0, 3])]
    assert red[0].min() == 1 and red[1:].max() == 0
    assert blue[2].min() > 0.98 and blue[:2].max() < 0.02  # JPEG rounds


def test_a_picture_is_cut_around_its_middle(tmp_path: Path) -> None:
    levels = np.zeros((4, 12), np.uint8)
    levels[:, 4:8] = 255
    (tmp_path / "only").mkdir()
    Image.fromarray(levels).save(tmp_path / "only" / "bar.png")
    (image,) = ImageFolder(tmp_path, 4, mode="L")[:]
    assert image.shape == (1, 4, 4) and image.min() == 1


def test_wrong_folders_of_pictures_are_errors(tmp_path: Path) -> None:
    root = pictures(tmp_path / "photos")
    with pytest.raises(DataError, match="give the size"):
        load_dataset(root)
    with pytest.raises(DataError, match="image size 4, but its images have sizes of their own"):
        load_dataset("digits", image_size=4)
    (root / "train" / "red" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    data = load_dataset(root, image_size=4)
    with pytest.raises(DataError, match=r"1.png: cannot be read as a picture"):
        data.x_train[:]
    picture(root / "train" / "green" / "0.png", (0, 255, 0))
    with pytest.raises(DataError, match="green not in both of train and val"):
        load_dataset(root, image_size=4)
    (root / "train" / "empty").mkdir()
    with pytest.raises(DataError, match="empty: has no pictures"):
        load_dataset(root, image_size=4)
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(root / "nothing", 4)
    with pytest.raises(DataError, match="expected one for each class"):
        ImageFolder(root / "val" / "red", 4)
    with pytest.raises(DataError, match="mode='CMYK', expected 'RGB' or 'L'"):
        ImageFolder(root / "val", 4, mode="CMYK")
    with pytest.raises(DataError, match="val: no folder train"):
        load_folder(root / "val", 4)


@pytest.mark.parametrize(("level", "right"), [(65535, True), (65536, False), (-1, False)])
def test_levels_of_32_bits_are_not_cut_off(tmp_path: Path, level: int, right: bool) -> None:
    (tmp_path / "red").mkdir()
    Image.fromarray(np.full((2, 2), level, np.int32)).save(tmp_path / "red" / "0.tif")
    if right:
        assert (ImageFolder(tmp_path, 2)[:] == 1).all()
    else:
        with pytest.raises(DataError, match="levels are of 32 bits, expected 8 or 16"):
            ImageFolder(tmp_path, 2)[:]


def test_a_data_set_takes_a_source_in_place_of_an_array() -> None:
    digits = load_digits()
    with pytest.raises(GradproofError, match="images and y_train"):
        Dataset("slow", Slow(), Y[1:], Slow(), Y, tuple(map(str, range(23))))
    data = Dataset("slow", Slow(), Y, Slow(), Y, tuple(map(str, range(23))))
    assert data.image_shape == (2, 4, 4) and digits.image_shape == (1, 8, 8)


# -- other sizes ------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(32, 32), (8, 8), (3, 3), (5, 20), (1, 1)])
def test_resize_is_what_pillow_computes(size: tuple[int, int]) -> None:
    images = load_digits().x_train[:3]
    found = transforms.Resize(size)(images, Draws(3, [0]))
    assert found.shape == (3, 1, *size) and found.dtype == np.float32
    for image, result in zip(images[:, 0], found[:, 0], strict=True):
        wide = Image.fromarray(image, "F").resize(size[::-1], Image.Resampling.BILINEAR)
        # Pillow rounds between its two passes, to float32; each sum has at most 8 terms up to 1
        assert abs(np.asarray(wide) - result).max() < 32 * np.finfo(np.float32).eps


def test_resize_keeps_constants_and_refuses_sizes_below_1() -> None:
    flat = np.full((1, 2, 7, 5), 0.25, np.float32)
    found = transforms.Resize(12)(flat, Draws(1, [0]))
    assert abs(found - 0.25).max() < 16 * np.finfo(np.float32).eps
    with pytest.raises(ShapeError, match="Resize: size"):
        transforms.Resize(0)


# -- turned, scaled, shifted ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("turn", "shift", "factor"), [(0, (0, 0), 1), (17, (0, 0), 1), (-30, (0.2, 0.1), 1.25)]
)
def test_an_affine_change_is_what_pillow_computes(
    turn: float, shift: tuple[float, float], factor: float
) -> None:
    """Away from the border, where Pillow repeats it."""
    images = np.random.default_rng(0).random((4, 1, 24, 20), np.float32)
    change = transforms.RandomAffine((turn, turn), shift, (factor, factor))
    found = change(images, Draws(4, [3]))
    draws = Draws(4, [3])
    _, _, right, down = (draws.uniform() for _ in range(4))
    inside = 0
    for k, image in enumerate(images[:, 0]):
        x, y = (
            (2 * u[k] - 1) * s * n for u, s, n in zip((right, down), shift, (20, 24), strict=True)
        )
        a = np.deg2rad(turn)
        matrix = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) / factor
        start = np.array([10, 12]) - matrix @ np.array([10 + x, 12 + y])
        data = (*matrix[0], start[0], *matrix[1], start[1])
        whole = Image.fromarray(image, "F")
        method = Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
        expected = np.asarray(whole.transform((20, 24), *method))
        grid = np.stack(np.meshgrid(np.arange(20), np.arange(24)), -1) + 0.5
        places = grid @ matrix.T + start - 0.5
        there = ((places >= 0) & (places <= [19, 23])).all(-1)
        assert abs(expected - found[k, 0])[there].max() < 1e-5  # Pillow steps in float32
        inside += int(there.sum())
    assert inside > 4 * 200


def test_quarter_turns_are_clockwise_and_bring_zeros_from_outside() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    turned = transforms.RandomAffine((90, 90))(image, Draws(1, [0]))
    assert abs(turned[0, 0] - np.rot90(image[0, 0], -1)).max() < 1e-5
    wide = transforms.RandomAffine(0, scale=(0.5, 0.5))(image + 1, Draws(1, [0]))
    assert wide[0, 0, 0].max() == 0 and wide[0, 0, 1:3, 1:3].min() > 0
    same = transforms.RandomAffine(0)(image, Draws(1, [0]))
    assert np.array_equal(same, image) and same is not image


@pytest.mark.parametrize(
    "options",
    [
        {"degrees": (1, 0)},
        {"degrees": (1, 2, 3)},
        {"degrees": 1, "translate": (2.0, 0.0)},
        {"degrees": 1, "scale": (0.0, 1.0)},
        {"degrees": "a"},
    ],
)
def test_wrong_affine_changes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ArgumentError, GradproofError), match="RandomAffine: "):
        transforms.RandomAffine(**options)


# -- CIFAR-100 --------------------------------------------------------------------------------
def cifar100(folder: Path, **changed: bytes) -> Path:
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (4, 3074), np.uint8)
    records[:, 0], records[:, 1] = [19, 0, 3, 3], [99, 0, 7, 7]
    files = {
        "train.bin": records.tobytes(),
        "test.bin": records[:2].tobytes(),
        "fine_label_names.txt": "\n".join(f"class {k}" for k in range(100)).encode(),
    }
    for name, content in (files | changed).items():
        (folder / name).write_bytes(content)
    return folder


def test_cifar_100_has_the_labels_of_its_classes(tmp_path: Path) -> None:
    data = load_dataset(cifar100(tmp_path))
    assert data.y_train.tolist() == [99, 0, 7, 7] and len(data.classes) == 100
    assert data.x_train.shape == (4, 3, 32, 32) and data.x_test.shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train.bin": b"12345"}, "train.bin: 5 bytes, expected a positive multiple of 3074"),
        ({"test.bin": bytes([0, 100]) + bytes(3072)}, r"label\[0\] is 100, allowed 0..99"),
        ({"fine_label_names.txt": b"one"}, "1 class names, expected 100"),
    ],
)
def test_wrong_cifar_100_files_are_named(
    tmp_path: Path, changed: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(cifar100(tmp_path, **changed))


# -- files that are not what they say ---------------------------------------------------------
def npy_with(shape: str, descr: str = "|u1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()


@pytest.mark.parametrize("name", ["x_train", "y_train"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01",
        npy_with("(99999999999999, 8, 8)"),
        npy_with(f"({'9' * 40}, 8, 8)"),
        npy_with("(-6, 8, 8)"),
        npy_with("(2,)", "|O"),
        npy_with("__import__('os').getcwd()"),
        b"\x93NUMPY\x01\x00\x60\xea" + b"(" * 60_000,
        b"PK",  # stands for a .npz archive
    ],
)
def test_a_malformed_npy_file_is_one_line_that_names_it(
    tmp_path: Path, name: str, content: bytes
) -> None:
    folder = write_npy(tmp_path)
    path = folder / f"{name}.npy"
    path.write_bytes(content)
    if content == b"PK":
        np.savez(tmp_path / "a.npz", x=np.zeros(2))
        path.write_bytes((tmp_path / "a.npz").read_bytes())
    with pytest.raises(DataError, match=rf"^[^\n]*{name}\.npy: cannot be read[^\n]*$"):
        load_dataset(folder)


def test_class_names_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = write_npy(tmp_path)
    names = [f"n{k}" for k in range(len(load_dataset(folder).classes))]
    (folder / "classes.txt").write_text("\ufeff" + "\n".join(names), "utf-8")
    assert load_dataset(folder).classes == tuple(names)


def one_picture(root: Path, picture: Image.Image, name: str = "0.png", **options: Any) -> Any:
    (root / "only").mkdir()
    picture.save(root / "only" / name, **options)
    return ImageFolder(root, 4)[:][0]


@pytest.mark.parametrize("level", [0, 128, 32768, 65535])
def test_levels_of_16_bits_are_not_cut_off(tmp_path: Path, level: int) -> None:
    found = one_picture(tmp_path, Image.fromarray(np.full((4, 4), level, np.uint16)))
    assert abs(found - level / 65535).max() <= 0.5 / 255 + 1e-6


def test_real_levels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0.tif: cannot be read .* expected 8 or 16 bits"):
        one_picture(tmp_path, Image.fromarray(np.zeros((4, 4), np.float32)), "0.tif")


@pytest.mark.parametrize("mode", ["CMYK", "P", "1", "RGBA", "LA"])
def test_pictures_of_every_mode_are_read(tmp_path: Path, mode: str) -> None:
    white = Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode)
    assert one_picture(tmp_path, white, "0.tif" if mode == "CMYK" else "0.png").min() == 1


def test_a_picture_is_turned_as_its_camera_was(tmp_path: Path) -> None:
    levels = np.zeros((4, 4), np.uint8)
    levels[:2] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the row 0 is the right side
    found = one_picture(tmp_path, Image.fromarray(levels), exif=exif)
    assert found[:, :, 2:].min() == 1 and found[:, :, :2].max() == 0


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    root = pictures(tmp_path / "photos")
    (root / "train" / "red" / "._0.png").write_bytes(b"Mac OS X")
    assert load_dataset(root, image_size=4).x_train[:].shape == (6, 3, 4, 4)


# -- larger than memory -----------------------------------------------------------------------
def test_statistics_hold_one_part_at_a_time() -> None:
    class Counted(Slow):
        alive = 0

        def read(self, indices: Any) -> Any:
            found = super().read(indices)
            parts.append(weakref.ref(found))
            Counted.alive = max(Counted.alive, sum(p() is not None for p in parts))
            return found

    parts: list[Any] = []
    found = channel_statistics(Counted(), step=2)
    assert Counted.alive <= 2 and len(parts) == 2 * 12
    mean = X.mean(axis=(0, 2, 3), dtype=np.float64)
    assert np.allclose(found[0], mean, rtol=1e-12)
    assert np.allclose(found[1], X.astype(np.float64).std(axis=(0, 2, 3)), rtol=1e-12)


def test_a_memory_map_larger_than_memory(tmp_path: Path) -> None:
    """A file with a hole of 60 GB: what is read is what batches need."""
    count = 60 * 10**9 // (3 * 64 * 64)
    folder = write_npy(
        tmp_path, x_test=np.zeros((4, 3, 64, 64), np.uint8), y_train=np.arange(count) % 2
    )
    header = npy_with(f"({count}, 3, 64, 64)")
    with (folder / "x_train.npy").open("wb") as file:
        file.write(header)
        try:
            file.truncate(len(header) + count * 3 * 64 * 64)
        except OSError as error:
            pytest.skip(f"no file with holes here: {error}")
    data = load_dataset(folder)
    assert len(data.x_train) == count and len(fingerprint(data)) == 64
    images, labels = next(DataLoader(data.x_train, data.y_train, 8, shuffle=True).epoch(0))
    assert images.shape == (8, 3, 64, 64) and images.max() == 0 and labels.shape == (8,)


def test_a_fingerprint_sees_every_part() -> None:
    data = load_digits()
    known = fingerprint(data)
    for field in ("x_train", "y_train", "x_test", "y_test"):
        changed = getattr(data, field).copy()
        changed[7] = 1 - changed[7] if field[0] == "x" else (changed[7] + 1) % 10
        assert fingerprint(dataclasses.replace(data, **{field: changed})) != known
    assert fingerprint(dataclasses.replace(data, classes=tuple("abcdefghij"))) != known
