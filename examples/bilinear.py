"""A bilinear form, torch.nn.Bilinear, from its formula.

gradproof derive examples/bilinear.py --wrt w
python examples/bilinear.py
"""

import gradproof as gp

bilinear = gp.operator(
    "bilinear",
    "z[n,o] = sum(x[n,i] * w[o,i,j] * y[n,j]) + b[o]",
    {"x": "N, I", "y": "N, J", "w": "O, I, J", "b": "O"},
    optional={"b": 0},
    names={"x": "input1", "y": "input2", "w": "weight", "b": "bias", "z": "output"},
    doc="N pairs of I and of J features, O outputs.",
)


def main() -> None:
    """The form x^T w y of a matrix w, and its gradients."""
    form = gp.compile(bilinear)
    x = gp.tensor([[1.0, 2.0]], requires_grad=True)
    y = gp.tensor([[3.0, 4.0, 5.0]], requires_grad=True)
    w = gp.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]], requires_grad=True)
    z = form(x, y, w)
    z.backward()
    print("z =", z.item())
    print("dz/dx =", x.grad.numpy()[0], " dz/dy =", y.grad.numpy()[0])


if __name__ == "__main__":
    main()
