"""Reverse passes that are operators of their own, so that their gradients, second derivatives, have
kernels and certificates too. Those of other operators are derived when they are asked for.
"""

from gradproof.derive.ops import activations
from gradproof.derive.ops.conv2d import conv2d
from gradproof.derive.ops.linear import linear
from gradproof.derive.ops.relu import relu
from gradproof.derive.second import backward_definition

conv2d_backward = backward_definition(conv2d)
linear_backward = backward_definition(linear)
relu_backward = backward_definition(relu)
leaky_relu_backward = backward_definition(activations.leaky_relu)
sigmoid_backward = backward_definition(activations.sigmoid)
tanh_backward = backward_definition(activations.tanh)
silu_backward = backward_definition(activations.silu)
gelu_backward = backward_definition(activations.gelu)
gelu_tanh_backward = backward_definition(activations.gelu_tanh)
softplus_backward = backward_definition(activations.softplus)
