"""The catalogue of networks: by name, with the images and classes that each was made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.models import cifar_resnet, resnet, vgg
from gradproof.runtime.models.alexnet import alexnet
from gradproof.runtime.models.classic import ImageShape, demo_cnn, lenet5
from gradproof.runtime.nn import Module

SMALL, LARGE = (3, 32, 32), (3, 224, 224)  # images of CIFAR and of ImageNet


class Builder(Protocol):
    """A function such as `resnet18`."""

    def __call__(self, num_classes: int, *, in_channels: int) -> Module:
        """The network for images of that many channels."""


@dataclass(frozen=True)
class Entry:
    """A network: how it is built for images of a shape and a number of classes, the shape (C, H, W)
    and the number it was made for, and the smallest H and W that it takes."""

    build: Callable[[ImageShape, int], Module]
    image_shape: ImageShape
    num_classes: int
    smallest: int = 1


def _any_size(
    builder: Builder, image_shape: ImageShape, num_classes: int, smallest: int = 1
) -> Entry:
    """The entry of a network whose layers do not depend on H and W."""

    def build(shape: ImageShape, classes: int) -> Module:
        return builder(classes, in_channels=shape[0])

    return Entry(build, image_shape, num_classes, smallest)


_VGG = (vgg.vgg11, vgg.vgg13, vgg.vgg16, vgg.vgg19)
_VGG_BN = (vgg.vgg11_bn, vgg.vgg13_bn, vgg.vgg16_bn, vgg.vgg19_bn)
_RESNET = (resnet.resnet18, resnet.resnet34, resnet.resnet50, resnet.resnet101, resnet.resnet152)
_CIFAR = (
    cifar_resnet.resnet20,
    cifar_resnet.resnet32,
    cifar_resnet.resnet44,
    cifar_resnet.resnet56,
    cifar_resnet.resnet110,
)

MODELS: Mapping[str, Entry] = {
    "demo": Entry(demo_cnn, (1, 8, 8), 10, smallest=2),
    "lenet": Entry(lenet5, (1, 28, 28), 10, smallest=4),
    "alexnet": _any_size(alexnet, LARGE, 1000, smallest=63),
    **{f.__name__: _any_size(f, LARGE, 1000, smallest=32) for f in (*_VGG, *_VGG_BN)},
    **{f.__name__: _any_size(f, LARGE, 1000) for f in _RESNET},
    **{f.__name__: _any_size(f, SMALL, 10) for f in _CIFAR},
}


def build_model(name: str, image_shape: ImageShape, num_classes: int) -> Module:
    """The network `name`, one of `MODELS`, with parameters drawn from the one seed.

    Raises:
        RunError: there is no such network.
        ShapeError: the images are too small for it, or there are no classes.

    >>> build_model("lenet", (1, 3, 28), 10)
    Traceback (most recent call last):
    gradproof.runtime.errors.ShapeError: model lenet: images are 3 x 28 pixels, expected at least \
4 x 4
    """
    entry = find_model(name)
    _, height, width = image_shape
    if min(height, width) < entry.smallest:
        raise ShapeError(
            f"model {name}: images are {height} x {width} pixels,"
            f" expected at least {entry.smallest} x {entry.smallest}"
        )
    if num_classes < 1:
        raise ShapeError(f"model {name}: {num_classes} classes, expected at least 1")
    return entry.build(image_shape, num_classes)


def find_model(name: str) -> Entry:
    """The entry of a network. Raises RunError where there is none of that name.

    >>> find_model("resnet50").image_shape
    (3, 224, 224)
    """
    if name not in MODELS:
        raise RunError(f"model {name!r}: expected one of {', '.join(MODELS)}")
    return MODELS[name]
