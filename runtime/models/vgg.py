"""VGG-11, 13, 16 and 19, with and without batch norm.

K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition",
ICLR 2015, table 1, columns A, B, D and E.
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

CHANNELS = (64, 128, 256, 512, 512)  # of the 3x3 convolutions in each stage
VGG11, VGG13, VGG16, VGG19 = (1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
POOLED = 7  # the side of the maps that the linear layers take
HIDDEN = 4096
DEVIATION = 0.01  # of a linear layer's initial weights


class VGG(Module):
    """Convolutions, the means over 7 x 7 windows, three linear layers with dropout.

    config: convolutions of each stage, as `VGG11`; after each stage the image is halved by a 2x2
    max pool. batch_norm: between convolution and ReLU. Initial values as torchvision's:
    `draw_convolutions`, and N(0, 0.01²) for linear weights, with biases 0.

    Shapes: images (N, in_channels, H, W), H and W at least 32, give logits (N, num_classes); the
    means make 7 x 7 of any extent, also of a smaller one. Errors: ShapeError for sizes below 1, or
    a dropout outside [0, 1); in calls, what the layers raise.
    """

    def __init__(
        self,
        config: Sequence[int],
        batch_norm: bool,
        num_classes: int,
        dropout: float,
        in_channels: int = 3,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        integer("VGG", "num_classes", num_classes)
        integer("VGG", "in_channels", in_channels)
        self.features = _features(config, batch_norm, in_channels)
        self.avgpool = AdaptiveAvgPool2d((POOLED, POOLED))
        self.classifier = Sequential(
            Linear(CHANNELS[-1] * POOLED**2, hidden),
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
        """(N, in_channels, H, W) -> (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def _features(config: Sequence[int], batch_norm: bool, in_channels: int) -> Sequential:
    """The convolutional part."""
    layers: list[Module] = []
    before = in_channels
    for convolutions, channels in zip(config, CHANNELS, strict=True):
        for _ in range(convolutions):
            layers.append(Conv2d(before, channels, 3, padding=1))
            layers += [BatchNorm2d(channels)] if batch_norm else []
            layers.append(ReLU())
            before = channels
        layers.append(MaxPool2d(2))
    return Sequential(*layers)


def vgg11(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """VGG-11: torchvision.models.vgg11's parameters by name and shape, 133 million."""
    return VGG(VGG11, False, num_classes, dropout, in_channels)


def vgg11_bn(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """`vgg11` with batch norm after each convolution, as torchvision.models.vgg11_bn."""
    return VGG(VGG11, True, num_classes, dropout, in_channels)


def vgg13(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """VGG-13: torchvision.models.vgg13's parameters by name and shape, 133 million."""
    return VGG(VGG13, False, num_classes, dropout, in_channels)


def vgg13_bn(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """`vgg13` with batch norm after each convolution, as torchvision.models.vgg13_bn."""
    return VGG(VGG13, True, num_classes, dropout, in_channels)


def vgg16(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """VGG-16: torchvision.models.vgg16's parameters by name and shape, 138 million."""
    return VGG(VGG16, False, num_classes, dropout, in_channels)


def vgg16_bn(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """`vgg16` with batch norm after each convolution, as torchvision.models.vgg16_bn."""
    return VGG(VGG16, True, num_classes, dropout, in_channels)


def vgg19(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """VGG-19: torchvision.models.vgg19's parameters by name and shape, 144 million."""
    return VGG(VGG19, False, num_classes, dropout, in_channels)


def vgg19_bn(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> VGG:
    """`vgg19` with batch norm after each convolution, as torchvision.models.vgg19_bn."""
    return VGG(VGG19, True, num_classes, dropout, in_channels)
