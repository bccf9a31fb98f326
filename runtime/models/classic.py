"""The networks that the command line trains, for images of any size that they can take."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradproof.runtime.errors import RunError
from gradproof.runtime.nn import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)

ImageShape = tuple[int, int, int]


def demo_cnn(image_shape: ImageShape, num_classes: int) -> Sequential:
    """Two 3x3 convolutions with batch norm and ReLU, one 2x2 max pool, one linear layer.

    Shapes: images (N, *image_shape), image_shape (C, H, W), give logits (N, num_classes).

    H and W are at least 2.

    >>> demo_cnn((1, 8, 8), 10)[8].weight.shape
    (10, 512)
    """
    channels, height, width = image_shape
    return Sequential(
        Conv2d(channels, 16, 3, padding=1),
        BatchNorm2d(16),
        ReLU(),
        Conv2d(16, 32, 3, padding=1),
        BatchNorm2d(32),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(32 * (height // 2) * (width // 2), num_classes),
    )


def lenet5(image_shape: ImageShape, num_classes: int) -> Sequential:
    """LeNet-5 as it is taught today: ReLU and max pooling, for 28x28 images padded to 32x32.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to
    document recognition", Proc. IEEE 86 (1998), section II.B. The paper has scaled tanh units,
    trained averages as pooling, a table of partly connected maps in its second convolution, and
    radial basis functions at the end; here these are ReLU, max pooling, a full convolution and
    a linear layer. The second convolution is unpadded as in the paper, except for images below
    12 pixels, of which it would leave nothing: there its padding is 2.

    Shapes: images (N, *image_shape), image_shape (C, H, W), give logits (N, num_classes).

    H and W are at least 4.

    >>> sum(p.size for p in lenet5((1, 28, 28), 10).parameters())
    61706
    """
    channels, height, width = image_shape
    padding = 0 if min(height, width) >= 12 else 2
    # Both convolutions are 5x5 and both pools 2x2: extents H -> H // 2 -> (H // 2 - 4 + 2p) // 2.
    rows, columns = ((n // 2 - 4 + 2 * padding) // 2 for n in (height, width))
    return Sequential(
        Conv2d(channels, 6, 5, padding=2),
        ReLU(),
        MaxPool2d(2),
        Conv2d(6, 16, 5, padding=padding),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Linear(16 * rows * columns, 120),
        ReLU(),
        Linear(120, 84),
        ReLU(),
        Linear(84, num_classes),
    )


def first_filters(model: Module) -> np.ndarray[Any, Any]:
    """The weight of the first convolution, (out_channels, in_channels, height, width), on the host.

    Raises:
        RunError: the model has no convolution.

    >>> first_filters(demo_cnn((3, 8, 8), 10)).shape
    (16, 3, 3, 3)
    """
    for module in model.modules():
        if isinstance(module, Conv2d):
            return module.weight.numpy()
    raise RunError("the model has no convolution, so it has no filters to show")
