"""Adam: steps scaled by running averages of the gradient and of its square.

m_new and v_new are the averages; they start at 0, and 1 - beta^t is what t steps have made of their
weights. So m_new/(1 - beta1^t) and v_new/(1 - beta2^t) are the means that the paper corrects to.
The host gives `rate` = lr/(1 - beta1^t), `scale` = 1/sqrt(1 - beta2^t), and `new1`, `new2`: in
float32, 1 - 0.999 would keep 14 of 24 bits.

Sources: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1;
I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2, with the
decay multiplied by lr. PyTorch: torch.optim.Adam, torch.optim.AdamW.
"""

from gradproof.derive.language import operator

SHAPES = {"p": "T", "g": "T", "m": "T", "v": "T"}
AVERAGES = {"beta1": "real", "beta2": "real", "new1": "real", "new2": "real"}
STEP = {"rate": "real", "scale": "real", "eps": "real"}
CONSTANT = ("p", "g", "m", "v")
OUTPUTS = ("m_new", "v_new", "p_new")

adam = operator(
    "adam",
    """
    m_new[i] = beta1 * m[i] + new1 * (g[i] + weight_decay * p[i])
    v_new[i] = beta2 * v[i] + new2 * (g[i] + weight_decay * p[i])**2
    p_new[i] = p[i] - rate * m_new[i] / (scale * sqrt(v_new[i]) + eps)
    """,
    SHAPES,
    outputs=OUTPUTS,
    scalars=AVERAGES | STEP | {"weight_decay": "real"},
    constant=CONSTANT,
    doc="Averages m of the gradient and v of its square; weight decay is part of the gradient.",
)

adamw = operator(
    "adamw",
    """
    m_new[i] = beta1 * m[i] + new1 * g[i]
    v_new[i] = beta2 * v[i] + new2 * g[i]**2
    p_new[i] = p[i] - lr * weight_decay * p[i] - rate * m_new[i] / (scale * sqrt(v_new[i]) + eps)
    """,
    SHAPES,
    outputs=OUTPUTS,
    scalars=AVERAGES | STEP | {"lr": "real", "weight_decay": "real"},
    constant=CONSTANT,
    doc="As adam, with a weight decay that is no part of the gradient.",
)
