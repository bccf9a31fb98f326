"""Tensors, autograd, layers and training over the generated kernels."""
