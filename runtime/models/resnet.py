"""Residual networks: ResNet-20 for small images and ResNet-18.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.runtime.arguments import integer
from gradproof.runtime.models.initial import draw_convolutions
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


class BasicBlock(Module):
    """relu(shortcut(x) + bn2(conv2(relu(bn1(conv1(x)))))), both convolutions 3x3.

    Shapes: (N, inplanes, H, W) -> (N, planes, ceil(H/stride), ceil(W/stride)). The shortcut is the
    identity; where the shape changes, a 1x1 convolution with batch norm, the paper's option B.
    PyTorch: torchvision.models.resnet.BasicBlock, whose names of parameters these are.

    >>> block = BasicBlock(16, 32, stride=2)
    >>> [name for name, _ in block.named_children()]
    ['conv1', 'bn1', 'relu', 'conv2', 'bn2', 'downsample']
    """

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(planes)
        self.relu = ReLU()
        self.conv2 = Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(planes)
        self.add_module("downsample", None)
        if stride != 1 or inplanes != planes:
            self.downsample = Sequential(
                Conv2d(inplanes, planes, 1, stride=stride, bias=False), BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, planes, H', W')."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)  # type: ignore[no-any-return]


class ResNet(Module):
    """A stem, stages of `BasicBlock`, the mean over the image, one linear layer.

    layers: blocks of each stage; planes: channels of each stage, halving the image from the second
    on. stem: "3x3", or "7x7" at stride 2 with a 3x3 max pool at stride 2. Weights of convolutions
    are drawn as torchvision's: see `draw_convolutions`.

    Shapes: images (N, 3, H, W) of any size give logits (N, num_classes). Errors: ShapeError for
    sizes below 1; in calls, what the layers raise.
    """

    def __init__(
        self, layers: Sequence[int], planes: Sequence[int], stem: str, num_classes: int
    ) -> None:
        super().__init__()
        integer("ResNet", "num_classes", num_classes)
        large = stem == "7x7"
        kernel_size, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = Conv2d(3, planes[0], kernel_size, stride=stride, padding=padding, bias=False)
        self.bn1 = BatchNorm2d(planes[0])
        self.relu = ReLU()
        self.maxpool = MaxPool2d(3, stride=2, padding=1) if large else Identity()
        before = planes[0]
        self.stages = len(layers)
        for stage, (blocks, width) in enumerate(zip(layers, planes, strict=True), start=1):
            first = BasicBlock(before, width, stride=1 if stage == 1 else 2)
            others = (BasicBlock(width, width) for _ in range(blocks - 1))
            self.add_module(f"layer{stage}", Sequential(first, *others))
            before = width
        self.avgpool = AdaptiveAvgPool2d((1, 1))
        self.fc = Linear(before, num_classes)
        draw_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, num_classes)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


def resnet20(num_classes: int = 10) -> ResNet:
    """The CIFAR network of the paper's section 4.2: 3 stages of 3 blocks, 16, 32, 64 channels.

    Its shortcuts are option B (see `BasicBlock`). The paper's own for CIFAR, option A, leaves out
    every other pixel and pads channels with zeros, without parameters: 2752 fewer.

    >>> sum(p.size for p in resnet20().parameters())
    272474
    """
    return ResNet((3, 3, 3), (16, 32, 64), "3x3", num_classes)


def resnet18(num_classes: int = 1000) -> ResNet:
    """The paper's table 1, 18 layers; torchvision.models.resnet18's parameters by name and shape.

    >>> resnet18(num_classes=10).fc
    Linear(in_features=512, out_features=10, bias=True)
    """
    return ResNet((2, 2, 2, 2), (64, 128, 256, 512), "7x7", num_classes)
