"""Transposed convolution: every input element paints its filter, at stride S, into the output.
Element p of the output takes the taps i of the elements q with S*q + D*i - P = p. It is the map of
the convolution's input gradient (claim G1). PyTorch: torch.nn.ConvTranspose1d, 2d and 3d.

O, the output_padding, says which of the S input lengths of a convolution is meant.
"""

from gradproof.derive.language import Definition, operator

LETTERS = {"T": ("q", "h", "s"), "H": ("u", "i", "x"), "W": ("v", "j", "y")}
SIDES = {"T": ("PF", "PK"), "H": ("PT", "PB"), "W": ("PL", "PR")}
KIND = {"T": "deep", "H": "high", "W": "wide"}


def _conv_transpose(axes: str) -> Definition:
    """The operator over some of the axes T (depth), H and W."""

    def each(form: str) -> str:
        """`form` for every axis, with its letters: q an input's, i a tap's, x an output's."""
        parts = []
        for a in axes:
            q, i, x = LETTERS[a]
            before, after = SIDES[a]
            parts.append(form.format(a=a, q=q, i=i, x=x, before=before, after=after))
        return ", ".join(parts)

    def span(a: str) -> str:
        before, after = SIDES[a]
        return f"S{a}*({a} - 1) + D{a}*(K{a} - 1) + 1 - {before} - {after} + E{a}"

    return operator(
        f"conv_transpose{len(axes)}d",
        f"z[n,o,{each('{x}')}] = sum[c:CG,{each('{q},{i}')}]("
        f"w[o//OG*CG + c, o%OG, {each('{i}')}] * Y[n, o//OG*CG + c, {each('{q}')}], "
        f"{each('S{a}*{q} + D{a}*{i} - {before} == {x}')}) + b[o]",
        {
            "Y": f"N, G*CG, {each('{a}')}",
            "w": f"G*CG, OG, {each('K{a}')}",
            "b": "G*OG",
            "z": f"N, G*OG, {each('O{a}')}",
        },
        sizes={f"O{a}": span(a) for a in axes},
        integers=" ".join(f"{SIDES[a][0]} {SIDES[a][1]} E{a}" for a in axes),
        requires={f"{span(a)} >= 1": f"the output would be 0 {KIND[a]}" for a in axes},
        optional={"b": 0},
        subscripts={"Y": "n k " + " ".join(LETTERS[a][0] for a in axes)},
        names={"Y": "input", "w": "weight", "b": "bias", "z": "output"},
        doc="""
        N images, G groups of CG input and OG output channels; S, D, E: stride, dilation and output
        padding per axis (T, H, W); P: what is cropped on both sides of an axis (front and back,
        above and below, left and right).
        """,
    )


conv_transpose1d = _conv_transpose("W")
conv_transpose2d = _conv_transpose("HW")
conv_transpose3d = _conv_transpose("THW")
