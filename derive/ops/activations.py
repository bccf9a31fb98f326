"""Activations, element by element: the formulas are SymPy's to differentiate.
PyTorch: torch.nn.LeakyReLU, GELU, SiLU, Sigmoid, Tanh, Softplus.

The logistic function is written by cases, so that neither it nor its derivative overflows.
"""

from gradproof.derive.language import Definition, operator


def _elementwise(name: str, formula: str, doc: str, scalars: tuple[str, ...] = ()) -> Definition:
    """z[i] = formula, in which Y stands for Y[i]."""
    return operator(
        name,
        f"z[i] = {formula.replace('Y', 'Y[i]')}",
        {"Y": "T", "z": "T"},
        scalars=dict.fromkeys(scalars, "real"),
        names={"Y": "input", "z": "output"},
        doc=f"T elements. {doc}",
    )


SIGMOID = "where(Y < 0, exp(Y) / (1 + exp(Y)), 1 / (1 + exp(-Y)))"

leaky_relu = _elementwise(
    "leaky_relu", "where(Y <= 0, slope * Y, Y)", "The derivative at 0 is slope.", ("slope",)
)
sigmoid = _elementwise("sigmoid", SIGMOID, "1/(1 + exp(-Y)).")
tanh = _elementwise("tanh", "tanh(Y)", "The hyperbolic tangent.")
silu = _elementwise(
    "silu",
    "where(Y < 0, Y * exp(Y) / (1 + exp(Y)), Y / (1 + exp(-Y)))",
    "Y times sigmoid(Y): Elfwing, Uchibe, Doya 2017.",
)
gelu = _elementwise(
    "gelu",
    "Y * (1 + erf(Y / sqrt(2))) / 2",
    "Y times the normal distribution's function: Hendrycks, Gimpel 2016.",
)
# (1 + tanh(u/2))/2 = 1/(1 + exp(-u)): by cases, for 1 - tanh**2 is lost where tanh rounds to 1
gelu_tanh = operator(
    "gelu_tanh",
    """
    u[i] = 2 * scale * (Y[i] + 44715 * Y[i]**3 / 1000000)
    z[i] = where(u[i] < 0, Y[i] * exp(u[i]) / (1 + exp(u[i])), Y[i] / (1 + exp(-u[i])))
    """,
    {"Y": "T", "z": "T"},
    scalars={"scale": "real"},
    names={"Y": "input", "z": "output"},
    doc="T elements. GELU's approximation Y*(1 + tanh(u/2))/2; scale is sqrt(2/pi).",
)
softplus = _elementwise(
    "softplus",
    "where(beta * Y > threshold, Y, log(1 + exp(beta * Y)) / beta)",
    "log(1 + exp(beta*Y))/beta, and Y where beta*Y > threshold.",
    ("beta", "threshold"),
)
