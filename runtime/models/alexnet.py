"""AlexNet.

A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997,
2014: the network of A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep
convolutional neural networks", NIPS 2012, in one column and without local response normalisation.
"""

from __future__ import annotations

from gradproof.runtime.arguments import integer
from gradproof.runtime.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from gradproof.runtime.tensor import Tensor

POOLED = 6  # the side of the maps that the linear layers take


class AlexNet(Module):
    """Five convolutions with ReLU, three max pools, three linear layers with dropout.

    Initial values are PyTorch's defaults, as in torchvision.models.alexnet, whose parameters these
    are by name and shape. hidden: features of the two inner linear layers.

    Shapes: images (N, in_channels, H, W), H and W at least 63, give logits (N, num_classes).
    Errors: ShapeError for sizes below 1, or a dropout outside [0, 1); in calls, what the layers
    raise.
    """

    def __init__(
        self, num_classes: int, dropout: float, in_channels: int = 3, hidden: int = 4096
    ) -> None:
        super().__init__()
        integer("AlexNet", "num_classes", num_classes)
        integer("AlexNet", "in_channels", in_channels)
        self.features = Sequential(
            Conv2d(in_channels, 64, 11, stride=4, padding=2),
            ReLU(),
            MaxPool2d(3, stride=2),
            Conv2d(64, 192, 5, padding=2),
            ReLU(),
            MaxPool2d(3, stride=2),
            Conv2d(192, 384, 3, padding=1),
            ReLU(),
            Conv2d(384, 256, 3, padding=1),
            ReLU(),
            Conv2d(256, 256, 3, padding=1),
            ReLU(),
            MaxPool2d(3, stride=2),
        )
        self.avgpool = AdaptiveAvgPool2d((POOLED, POOLED))
        self.classifier = Sequential(
            Dropout(dropout),
            Linear(256 * POOLED**2, hidden),
            ReLU(),
            Dropout(dropout),
            Linear(hidden, hidden),
            ReLU(),
            Linear(hidden, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def alexnet(num_classes: int = 1000, dropout: float = 0.5, in_channels: int = 3) -> AlexNet:
    """AlexNet: torchvision.models.alexnet's parameters by name and shape, 61 million."""
    return AlexNet(num_classes, dropout, in_channels)
