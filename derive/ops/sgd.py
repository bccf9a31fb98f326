"""Gradient descent as the lecture writes it, theta <- theta - eta*g (claim T1), with PyTorch's
weight decay, momentum and Nesterov momentum. g is the gradient of a mean-reduced loss: the
division by the number of samples is in it. PyTorch: torch.optim.SGD.
"""

from gradproof.derive.language import operator

SHAPES = {"p": "T", "g": "T"}
CONSTANT = ("p", "g")

sgd = operator(
    "sgd",
    "p_new[i] = p[i] - lr * (g[i] + weight_decay * p[i])",
    SHAPES,
    scalars={"lr": "real", "weight_decay": "real"},
    constant=CONSTANT,
    doc="T parameters p with gradient g.",
)

sgd_momentum = operator(
    "sgd_momentum",
    """
    v_new[i] = momentum * v[i] + keep * (g[i] + weight_decay * p[i])
    p_new[i] = p[i] - lr * v_new[i]
    """,
    SHAPES | {"v": "T"},
    outputs=("v_new", "p_new"),
    scalars={"lr": "real", "weight_decay": "real", "momentum": "real", "keep": "real"},
    constant=(*CONSTANT, "v"),
    doc="Velocity v; keep is 1 - dampening, and 1 in the first step, where v is 0.",
)

sgd_nesterov = operator(
    "sgd_nesterov",
    """
    v_new[i] = momentum * v[i] + keep * (g[i] + weight_decay * p[i])
    p_new[i] = p[i] - lr * (g[i] + weight_decay * p[i] + momentum * v_new[i])
    """,
    SHAPES | {"v": "T"},
    outputs=("v_new", "p_new"),
    scalars={"lr": "real", "weight_decay": "real", "momentum": "real", "keep": "real"},
    constant=(*CONSTANT, "v"),
    doc="Looks ahead by momentum times the new velocity.",
)
