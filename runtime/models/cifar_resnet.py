"""Residual networks for small images: ResNet-20, 32, 44, 56 and 110.

K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016,
section 4.2: three stages of n blocks with 16, 32 and 64 channels, 6n + 2 layers. Shortcuts are
option B, see `BasicBlock`. The paper's own for CIFAR, option A, leaves out every other pixel and
pads channels with zeros, without parameters: 2752 fewer.

>>> sum(p.size for p in resnet20().parameters())
272474
"""

from __future__ import annotations

from gradproof.runtime.models.residual import BasicBlock
from gradproof.runtime.models.resnet import ResNet

PLANES = (16, 32, 64)  # of the three stages


def _cifar(blocks: int, num_classes: int, in_channels: int) -> ResNet:
    return ResNet(BasicBlock, (blocks,) * 3, PLANES, "3x3", num_classes, in_channels)


def resnet20(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """20 layers: 3 blocks in each stage."""
    return _cifar(3, num_classes, in_channels)


def resnet32(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """32 layers: 5 blocks in each stage."""
    return _cifar(5, num_classes, in_channels)


def resnet44(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """44 layers: 7 blocks in each stage."""
    return _cifar(7, num_classes, in_channels)


def resnet56(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """56 layers: 9 blocks in each stage."""
    return _cifar(9, num_classes, in_channels)


def resnet110(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """110 layers: 18 blocks in each stage."""
    return _cifar(18, num_classes, in_channels)
