"""Networks: the small ones that the command line trains, residual networks and VGG-11.

>>> import gradproof as gp
>>> gp.models.resnet20(num_classes=10).fc
Linear(in_features=64, out_features=10, bias=True)
"""

from gradproof.runtime.models.classic import (
    MODELS,
    ImageShape,
    build_model,
    demo_cnn,
    first_filters,
    lenet5,
)
from gradproof.runtime.models.resnet import BasicBlock, ResNet, resnet18, resnet20
from gradproof.runtime.models.vgg import VGG, vgg11, vgg11_bn

__all__ = [
    "MODELS",
    "VGG",
    "BasicBlock",
    "ImageShape",
    "ResNet",
    "build_model",
    "demo_cnn",
    "first_filters",
    "lenet5",
    "resnet18",
    "resnet20",
    "vgg11",
    "vgg11_bn",
]
