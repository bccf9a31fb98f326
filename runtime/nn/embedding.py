"""A table of vectors, looked up by number."""

from __future__ import annotations

from numpy.typing import DTypeLike

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import float_dtype, integer
from gradproof.runtime.functional.embedding import row
from gradproof.runtime.nn.module import Module
from gradproof.runtime.random import generator
from gradproof.runtime.tensor import Parameter, Tensor


class Embedding(Module):
    """weight[i] for each integer i of the input.

    Shapes: input (...), int32 from 0 to num_embeddings - 1; output (..., embedding_dim); weight
    (num_embeddings, embedding_dim), drawn from N(0, 1). padding_idx: this row starts as 0 and gets
    no gradient; negative ones count from the end. dtype: float32 or float64. PyTorch:
    torch.nn.Embedding, without `max_norm`, `scale_grad_by_freq` and `sparse`.

    Errors: ShapeError for sizes below 1 and a padding_idx without a row, DTypeError for another
    dtype; in calls, what `functional.embedding` raises, such as DataError for a number without a
    row.

    >>> from gradproof.runtime.tensor import tensor
    >>> layer = Embedding(10, 3, padding_idx=0)
    >>> layer, layer(tensor([[0, 1], [2, 9]])).shape
    (Embedding(10, 3, padding_idx=0), (2, 2, 3))
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        dtype: DTypeLike = "float32",
    ) -> None:
        super().__init__()
        self.num_embeddings = integer("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = integer("Embedding", "embedding_dim", embedding_dim)
        kind = float_dtype("Embedding", dtype)
        values = generator().standard_normal((self.num_embeddings, self.embedding_dim))
        self.padding_idx = None
        if padding_idx is not None:
            self.padding_idx = row(padding_idx, self.num_embeddings, "Embedding")
            values[self.padding_idx] = 0.0
        self.weight = Parameter(values.astype(kind), label="Embedding: weight")

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (..., embedding_dim)."""
        label = self._label(input=input)
        return F.embedding(input, self.weight, self.padding_idx, label=label)

    def extra_repr(self) -> str:
        """As torch.nn.Embedding."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
