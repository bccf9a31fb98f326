"""Residual networks for large images: ResNet-18, 34, 50, 101 and 152; and the class of them all.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.runtime.arguments import integer
from gradproof.runtime.models.initial import draw_convolutions
from gradproof.runtime.models.residual import BasicBlock, Bottleneck
from gradproof.runtime.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Identity,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
)
from gradproof.runtime.tensor import Tensor

Block = type[BasicBlock] | type[Bottleneck]
PLANES = (64, 128, 256, 512)  # of the four stages


class ResNet(Module):
    """A stem, stages of blocks, the mean over the image, one linear layer.

    block: of all stages; layers: how many each stage has; planes: their channels before expansion,
    the image being halved from the second stage on. stem: "3x3", or "7x7" at stride 2 with a 3x3
    max pool at stride 2. Weights of convolutions are drawn as torchvision's: see
    `draw_convolutions`.

    Shapes: images (N, in_channels, H, W) of any size give logits (N, num_classes). Errors:
    ShapeError for sizes below 1; in calls, what the layers raise.
    """

    def __init__(
        self,
        block: Block,
        layers: Sequence[int],
        planes: Sequence[int],
        stem: str,
        num_classes: int,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        integer("ResNet", "num_classes", num_classes)
        integer("ResNet", "in_channels", in_channels)
        large = stem == "7x7"
        size, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = Conv2d(
            in_channels, planes[0], size, stride=stride, padding=padding, bias=False
        )
        self.bn1 = BatchNorm2d(planes[0])
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, stride=2, padding=1) if large else Identity()
        before = planes[0]
        self.stages = len(layers)
        for stage, (blocks, width) in enumerate(zip(layers, planes, strict=True), start=1):
            first = block(before, width, stride=1 if stage == 1 else 2)
            before = width * block.expansion
            others = (block(before, width) for _ in range(blocks - 1))
            self.add_module(f"layer{stage}", Sequential(first, *others))
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(before, num_classes)
        draw_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


def resnet18(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """18 layers; torchvision.models.resnet18's parameters by name and shape, as all of these.

    >>> resnet18(num_classes=10).fc
    Linear(in_features=512, out_features=10, bias=True)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), PLANES, "7x7", num_classes, in_channels)


def resnet34(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """34 layers, of `BasicBlock`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), PLANES, "7x7", num_classes, in_channels)


def resnet50(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """50 layers, of `Bottleneck`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), PLANES, "7x7", num_classes, in_channels)


def resnet101(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """101 layers, of `Bottleneck`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), PLANES, "7x7", num_classes, in_channels)


def resnet152(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """152 layers, of `Bottleneck`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), PLANES, "7x7", num_classes, in_channels)
