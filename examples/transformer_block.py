"""A small transformer that reads handwritten digits row by row, with the attention of attention.py.

python examples/transformer_block.py
"""

import numpy as np
from attention import attention
from rms_norm import RMSNorm

import gradproof as gp

attend = gp.compile(attention)


class Block(gp.nn.Module):
    """Attention and a two-layer perceptron, each after a normalisation and beside an identity."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RMSNorm(features), RMSNorm(features)
        self.query, self.key, self.value, self.project = (
            gp.nn.Linear(features, features) for _ in range(4)
        )
        self.mlp = gp.nn.Sequential(
            gp.nn.Linear(features, 4 * features), gp.nn.GELU(), gp.nn.Linear(4 * features, features)
        )

    def forward(self, input: gp.Tensor) -> gp.Tensor:
        """(N, L, features) -> (N, L, features)."""
        n, length, features = input.shape
        x = self.norm1(input)
        parts = (n, length, self.heads, features // self.heads)
        q, k, v = (layer(x).reshape(parts) for layer in (self.query, self.key, self.value))
        x = input + self.project(attend(q, k, v).reshape(input.shape))
        return x + self.mlp(self.norm2(x))


class Reader(gp.nn.Module):
    """Images (N, 1, 8, 8) as sequences of 8 rows -> (N, 10) logits."""

    def __init__(self, features: int = 32, heads: int = 4) -> None:
        super().__init__()
        self.rows = gp.nn.Linear(8, features)
        self.place = gp.nn.Embedding(8, features)
        self.block = Block(features, heads)
        self.norm = RMSNorm(8 * features)
        self.classify = gp.nn.Linear(8 * features, 10)

    def forward(self, images: gp.Tensor) -> gp.Tensor:
        """(N, 1, 8, 8) -> (N, 10)."""
        n = images.shape[0]
        places = gp.tensor(np.tile(np.arange(8, dtype=np.int32), (n, 1)))
        x = self.rows(images.reshape(n, 8, 8)) + self.place(places)
        return self.classify(self.norm(self.block(x).reshape(n, -1)))


def main(epochs: int = 8) -> float:
    """Train on the shipped digits; the share of held-out digits that are read correctly."""
    gp.manual_seed(0)
    digits, model = gp.data.load_dataset("digits"), Reader()
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    rng = np.random.default_rng(0)
    for epoch in range(epochs):
        losses = []
        for batch in np.array_split(rng.permutation(len(digits.x_train)), 45):
            optimizer.zero_grad()
            logits = model(gp.tensor(digits.x_train[batch]))
            loss = gp.functional.cross_entropy(logits, gp.tensor(digits.y_train[batch]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    with gp.no_grad():
        found = model(gp.tensor(digits.x_test)).numpy().argmax(axis=1)
    share = float((found == digits.y_test).mean())
    print(f"{share:.1%} of {len(found)} held-out digits")
    return share


if __name__ == "__main__":
    main()
