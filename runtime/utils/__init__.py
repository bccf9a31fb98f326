"""Helpers under PyTorch's names: `gp.utils.checkpoint`."""

from gradproof.runtime.utils import checkpoint

__all__ = ["checkpoint"]
