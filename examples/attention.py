"""Scaled dot-product attention of several heads (Vaswani et al.: Attention Is All You Need, 2017).

A causal one differs by one guard, k <= q: a position attends to itself and to what came before.

    gradproof derive examples/attention.py:attention --wrt Q
    python examples/attention.py
"""

import numpy as np

import gradproof as gp

FORMULA = """
a[n,h,q,k] = sum[d](Q[n,q,h,d] * K[n,k,h,d]) / sqrt(D)
m[n,h,q] = max[k](a[n,h,q,k]{guard})
e[n,h,q,k] = exp(a[n,h,q,k] - m[n,h,q])
s[n,h,q] = sum[k](e[n,h,q,k]{guard})
z[n,q,h,v] = sum[k](e[n,h,q,k] * V[n,k,h,v]{guard}) / s[n,h,q]
"""
NAMES = {"Q": "query", "K": "key", "V": "value", "z": "output"}

attention = gp.operator(
    "attention",
    FORMULA.format(guard=""),
    {"Q": "N, L, H, D", "K": "N, S, H, D", "V": "N, S, H, E"},
    names=NAMES,
    doc="N sequences of L queries and S keys, H heads of D features, E features of a value.",
)
causal_attention = gp.operator(
    "causal_attention",
    FORMULA.format(guard=", k <= q"),
    {"Q": "N, L, H, D", "K": "N, L, H, D", "V": "N, L, H, E"},
    names=NAMES,
    doc="As attention, of L positions to themselves and to those before.",
)


def main() -> None:
    """One sequence of four positions, causal: the first output is the first value."""
    rng = np.random.default_rng(0)
    q, k, v = (gp.tensor(rng.normal(size=(1, 4, 2, 3)).astype(np.float32)) for _ in range(3))
    z = gp.compile(causal_attention)(q, k, v)
    print("first output:", z.numpy()[0, 0, 0])
    print("first value: ", v.numpy()[0, 0, 0])


if __name__ == "__main__":
    main()
