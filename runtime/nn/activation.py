"""Activation functions, element by element, and softmax along a dimension."""

from __future__ import annotations

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import number
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class ReLU(Module):
    """max(x, 0), element by element; any shape. PyTorch: torch.nn.ReLU, without `inplace`.

    Errors: DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> ReLU()(tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply max(x, 0)."""
        return F.relu(input, label=self._label(input=input))


class LeakyReLU(Module):
    """x where it is positive, else negative_slope · x; any shape.

    PyTorch: torch.nn.LeakyReLU, without `inplace`; Maas, Hannun, Ng 2013. Errors: ShapeError for a
    negative_slope that is no number, DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> LeakyReLU(0.5)(tensor([-1.0, 2.0])).numpy()
    array([-0.5,  2. ], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        number(negative_slope, "negative_slope", "LeakyReLU")
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        """Apply x or negative_slope · x."""
        return F.leaky_relu(input, self.negative_slope, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.LeakyReLU."""
        return f"negative_slope={self.negative_slope}"


class GELU(Module):
    """x Φ(x), Φ the standard normal distribution's function; any shape.

    approximate: "none", or "tanh" for its approximation. PyTorch: torch.nn.GELU; Hendrycks, Gimpel
    2016. Errors: ShapeError for another `approximate`, DTypeError for an input of integers.

    >>> GELU("tanh")
    GELU(approximate='tanh')
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ShapeError(f"GELU: approximate={approximate!r}, expected 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Apply x Φ(x)."""
        return F.gelu(input, self.approximate, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.GELU."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x · sigmoid(x); any shape. PyTorch: torch.nn.SiLU, without `inplace`.

    Elfwing, Uchibe, Doya 2017. Errors: DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> SiLU()(tensor([0.0])).numpy()
    array([0.], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply x · sigmoid(x)."""
        return F.silu(input, label=self._label(input=input))


class Sigmoid(Module):
    """1 / (1 + exp(-x)); any shape; never overflows. PyTorch: torch.nn.Sigmoid.

    Errors: DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> Sigmoid()(tensor([0.0])).numpy()
    array([0.5], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply 1 / (1 + exp(-x))."""
        return F.sigmoid(input, label=self._label(input=input))


class Tanh(Module):
    """The hyperbolic tangent; any shape. PyTorch: torch.nn.Tanh.

    Errors: DTypeError for an input of integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> Tanh()(tensor([0.0])).numpy()
    array([0.], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the hyperbolic tangent."""
        return F.tanh(input, label=self._label(input=input))


class Softplus(Module):
    """log(1 + exp(beta x)) / beta, and x where beta x > threshold; any shape.

    PyTorch: torch.nn.Softplus. Errors: ShapeError for beta = 0 and for what is no number;
    DTypeError for an input of integers.

    >>> Softplus()
    Softplus(beta=1.0, threshold=20.0)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        if number(beta, "beta", "Softplus") == 0:
            raise ShapeError(f"Softplus: beta={beta}, expected another number than 0")
        number(threshold, "threshold", "Softplus")
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        """Apply log(1 + exp(beta x)) / beta."""
        return F.softplus(input, self.beta, self.threshold, label=self._label(input=input))

    def extra_repr(self) -> str:
        """As torch.nn.Softplus."""
        return f"beta={self.beta}, threshold={self.threshold}"


class _AlongDimension(Module):
    """A function along one dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        """As torch.nn.Softmax."""
        return f"dim={self.dim}"


class Softmax(_AlongDimension):
    """exp(x) over the sum of exp(x) along `dim`; any shape; never overflows.

    PyTorch: torch.nn.Softmax, whose default for `dim` is deprecated. Errors: in calls, ShapeError
    for a dimension that the input lacks, DTypeError for integers.

    >>> from gradproof.runtime.tensor import tensor
    >>> Softmax(dim=1)(tensor([[1.0, 1.0]])).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the softmax."""
        return F.softmax(input, self.dim, label=self._label(input=input))


class LogSoftmax(_AlongDimension):
    """The logarithm of `Softmax`, computed without it. PyTorch: torch.nn.LogSoftmax.

    Errors: as `Softmax`.

    >>> from gradproof.runtime.tensor import tensor
    >>> LogSoftmax(dim=1)(tensor([[0.0, -1000.0]])).numpy()
    array([[    0., -1000.]], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the logarithm of the softmax."""
        return F.log_softmax(input, self.dim, label=self._label(input=input))
