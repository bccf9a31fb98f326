"""VGG-11, with and without batch norm.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
ICLR 2015, table 1, column A.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.runtime.arguments import integer
from gradproof.runtime.models.initial import draw_convolutions, draw_normal, fill_zeros
from gradproof.runtime.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from gradproof.runtime.tensor import Tensor

# the channels of 3x3 convolutions with ReLU; "M" is a 2x2 max pool
VGG11: tuple[int | str, ...] = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")
POOLED = 7  # the side of the maps that the linear layers take
HIDDEN = 4096
DEVIATION = 0.01  # of a linear layer's initial weights


class VGG(Module):
    """Convolutions, the means over 7 x 7 windows, three linear layers with dropout.

    config: as `VGG11`; batch_norm: between convolution and ReLU. Initial values as torchvision's:
    `draw_convolutions`, and N(0, 0.01²) for linear weights, with biases 0.

    Shapes: images (N, 3, H, W), H and W at least 32, give logits (N, num_classes); the means make
    7 x 7 of any extent, also of a smaller one. Errors: ShapeError for sizes below 1, or a dropout
    outside [0, 1); in calls, what the layers raise.
    """

    def __init__(
        self,
        config: Sequence[int | str],
        batch_norm: bool,
        num_classes: int,
        dropout: float,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        integer("VGG", "num_classes", num_classes)
        self.features, channels = _features(config, batch_norm)
        self.avgpool = AdaptiveAvgPool2d((POOLED, POOLED))
        self.classifier = Sequential(
            Linear(channels * POOLED**2, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, num_classes),
        )
        draw_convolutions(self)
        for module in self.classifier:
            if isinstance(module, Linear) and module.bias is not None:
                draw_normal(module.weight, DEVIATION)
                fill_zeros(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def _features(config: Sequence[int | str], batch_norm: bool) -> tuple[Sequential, int]:
    """The convolutional part, and how many channels it gives."""
    layers: list[Module] = []
    channels = 3
    for entry in config:
        if isinstance(entry, str):
            layers.append(MaxPool2d(2))
            continue
        layers.append(Conv2d(channels, entry, 3, padding=1))
        layers += [BatchNorm2d(entry)] if batch_norm else []
        layers.append(ReLU())
        channels = entry
    return Sequential(*layers), channels


def vgg11(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """VGG-11: torchvision.models.vgg11's parameters by name and shape, 133 million."""
    return VGG(VGG11, False, num_classes, dropout)


def vgg11_bn(num_classes: int = 1000, dropout: float = 0.5) -> VGG:
    """`vgg11` with batch norm after each convolution, as torchvision.models.vgg11_bn."""
    return VGG(VGG11, True, num_classes, dropout)
