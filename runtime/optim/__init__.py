"""Optimizers, named and called as in torch.optim, and the schedules of their learning rates.

>>> from gradproof.runtime import nn, optim
>>> optimizer = optim.Adam(nn.Linear(2, 1).parameters())
>>> optimizer.lr, optimizer.betas
(0.001, (0.9, 0.999))
"""

from gradproof.runtime.optim import lr_scheduler
from gradproof.runtime.optim.adam import Adam, AdamW
from gradproof.runtime.optim.optimizer import Optimizer
from gradproof.runtime.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
