"""The blocks that residual networks are made of.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
"""

from __future__ import annotations

from typing import ClassVar

from gradproof.runtime.nn import BatchNorm2d, Conv2d, Module, ReLU, Sequential
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

    expansion: ClassVar[int] = 1  # output channels are expansion · planes

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(planes)
        self.relu = ReLU()
        self.conv2 = Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(planes)
        self.add_module("downsample", projection(inplanes, planes, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, planes, H', W')."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)  # type: ignore[no-any-return]


class Bottleneck(Module):
    """relu(shortcut(x) + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))): 1x1, 3x3, 1x1.

    Shapes: (N, inplanes, H, W) -> (N, 4 · planes, ceil(H/stride), ceil(W/stride)). The shortcut is
    as in `BasicBlock`. The 3x3 convolution has the stride; in the paper the first 1x1 has it.
    PyTorch: torchvision.models.resnet.Bottleneck, whose names of parameters these are.

    >>> Bottleneck(64, 16).downsample is None, Bottleneck(64, 64).downsample[0].out_channels
    (True, 256)
    """

    expansion: ClassVar[int] = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        width = planes * self.expansion
        self.conv1 = Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = BatchNorm2d(planes)
        self.conv2 = Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(planes)
        self.conv3 = Conv2d(planes, width, 1, bias=False)
        self.bn3 = BatchNorm2d(width)
        self.relu = ReLU()
        self.add_module("downsample", projection(inplanes, width, stride))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inplanes, H, W) -> (N, 4 · planes, H', W')."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + shortcut)  # type: ignore[no-any-return]


def projection(inplanes: int, channels: int, stride: int) -> Sequential | None:
    """The paper's option B for a shortcut: a 1x1 convolution with batch norm, where the shape
    changes; None where it does not.

    >>> projection(16, 16, 1) is None
    True
    """
    if stride == 1 and inplanes == channels:
        return None
    return Sequential(
        Conv2d(inplanes, channels, 1, stride=stride, bias=False), BatchNorm2d(channels)
    )
