"""Networks: LeNet, AlexNet, VGG and residual networks, and a small one that the demo trains.

Names and shapes of parameters are torchvision's, where it has the network.

>>> import gradproof as gp
>>> gp.models.resnet20(num_classes=10).fc
Linear(in_features=64, out_features=10, bias=True)
"""

from gradproof.runtime.models.alexnet import AlexNet, alexnet
from gradproof.runtime.models.cifar_resnet import (
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
)
from gradproof.runtime.models.classic import ImageShape, demo_cnn, first_filters, lenet5
from gradproof.runtime.models.residual import BasicBlock, Bottleneck
from gradproof.runtime.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
)
from gradproof.runtime.models.vgg import (
    VGG,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from gradproof.runtime.models.zoo import MODELS, Entry, build_model, find_model

__all__ = [
    "MODELS",
    "VGG",
    "AlexNet",
    "BasicBlock",
    "Bottleneck",
    "Entry",
    "ImageShape",
    "ResNet",
    "alexnet",
    "build_model",
    "demo_cnn",
    "find_model",
    "first_filters",
    "lenet5",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
