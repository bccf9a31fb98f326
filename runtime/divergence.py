"""What to try where the loss of a training became infinite or NaN."""

from __future__ import annotations

from gradproof.runtime.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module
from gradproof.runtime.optim.lr_scheduler import LinearLR, SequentialLR

LOWER = 10  # the learning rate, divided by this, is worth the next try
NORM = 1.0  # of all gradients together; what training usually stays below
WATCH = "detect_anomaly=True (--detect-anomaly) names the first layer whose values are not finite"


def advice(
    model: Module,
    rate: float,
    updates: int,
    clip_grad_norm: float | None = None,
    scheduler: object = None,
    watched: bool = False,
) -> str:
    """Sentences, what helps most often first; what is done already is left out.

    rate: the learning rate; updates: steps before; watched: whether anomalies are detected.

    >>> from gradproof.runtime import nn
    >>> advice(nn.BatchNorm2d(3), 0.5, 9, clip_grad_norm=2.0, watched=True)
    'Try a lower learning rate than 0.5, such as 0.05; clip_grad_norm below 2; or a warm-up of the \
learning rate ([schedule] warmup = 1)'
    >>> advice(nn.BatchNorm2d(3), 0.5, 0)
    'No update was made before: look at the images and at the initial parameters; detect_anomaly=\
True (--detect-anomaly) names the first layer whose values are not finite'
    """
    last = [] if watched else [WATCH]
    if not updates:
        first = "No update was made before: look at the images and at the initial parameters"
        return "; ".join([first, *last])
    ways = [f"a lower learning rate than {rate:g}, such as {rate / LOWER:g}"]
    norm = clip_grad_norm
    ways += [f"clip_grad_norm = {NORM:g}" if norm is None else f"clip_grad_norm below {norm:g}"]
    if not isinstance(scheduler, LinearLR | SequentialLR):
        ways += ["a warm-up of the learning rate ([schedule] warmup = 1)"]
    if not any(isinstance(m, BatchNorm1d | BatchNorm2d | BatchNorm3d) for m in model.modules()):
        ways += ["batch norm behind the layers with weights"]
    ways[-1] = f"or {ways[-1]}"
    return "; ".join(["Try " + "; ".join(ways), *last])
