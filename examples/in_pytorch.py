"""An operator that is derived here, as a layer of a PyTorch network.

python examples/in_pytorch.py     (needs PyTorch: pip install torch)

PyTorch's graph sees one torch.autograd.Function. Its forward and backward pass are kernels that
come from the formula below; the numbers cross as NumPy arrays. The layer is the last one of LeNet-5
(LeCun, Bottou, Bengio, Haffner 1998, equation 7): the distance to one centre for each class, here
with a learned sharpness s, so that -s d is a logit.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

import gradproof as gp

centres = gp.operator(
    "centres",
    "z[n,c] = -s[c] * sum[k]((Y[n,k] - w[c,k])**2)",
    {"Y": "N, K", "w": "C, K", "s": "C"},
    names={"Y": "input", "w": "centre", "s": "sharpness", "z": "output"},
    doc="N samples of K features, C classes.",
)


class Derived(torch.autograd.Function):
    """Any compiled operator of tensors in the host's memory: Derived.apply(function, *tensors)."""

    @staticmethod
    def forward(ctx: Any, function: Any, *tensors: torch.Tensor) -> torch.Tensor:
        """The operator's kernels; what its gradient needs stays in gradproof's own graph."""
        needed = ctx.needs_input_grad[1:]
        ctx.operands = [
            gp.tensor(t.detach().numpy(), requires_grad=wanted)
            for t, wanted in zip(tensors, needed, strict=True)
        ]
        ctx.result = function(*ctx.operands)
        return torch.from_numpy(ctx.result.numpy())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The kernels of the derived gradient; None for what needs none."""
        leaves = [t for t in ctx.operands if t.requires_grad]
        found = iter(gp.grad(ctx.result, leaves, gp.tensor(gradient.numpy())))
        return None, *(
            torch.from_numpy(next(found).numpy()) if t.requires_grad else None for t in ctx.operands
        )


class Centres(torch.nn.Module):
    """input (N, features) -> logits (N, classes)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.function = gp.compile(centres)
        self.centre = torch.nn.Parameter(torch.randn(classes, features))
        self.sharpness = torch.nn.Parameter(torch.full((classes,), 0.1))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As torch.nn.Linear's."""
        result: torch.Tensor = Derived.apply(self.function, input, self.centre, self.sharpness)
        return result


def main(steps: int = 100) -> float:
    """Train on the shipped digits, by PyTorch; the share of held-out digits that are read."""
    torch.manual_seed(0)
    digits = gp.data.load_dataset("digits")
    x, y = torch.tensor(digits.x_train), torch.tensor(digits.y_train).long()
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.Tanh(), Centres(32, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}")
    with torch.no_grad():
        found = model(torch.tensor(digits.x_test)).argmax(1).numpy()
    accuracy = float((found == digits.y_test).mean())
    print(f"held-out digits: {accuracy:.1%}")
    return accuracy


if __name__ == "__main__":
    main()
