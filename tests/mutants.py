"""Systematic mutants of definitions, closed forms, elimination rules and kernel texts.

Each is one change that is wrong for some sizes. Those that turn out to be right are listed apart,
as equivalents: the prover shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from gradproof.derive import adjoint, eliminate, simplify
from gradproof.derive.expr import Divides, NonNeg, Quo, Reduce, Rem


@dataclass(frozen=True)
class Edit:
    """`old` becomes `new` in a definition's source, a claim or a kernel.

    `where`: the claim's name or the kernel; `count`: which occurrence (all where it is -1)."""

    name: str
    operator: str
    old: str
    new: str
    where: str = ""
    count: int = -1
    key: str = "right"

    @property
    def id(self) -> str:
        """A name for reports."""
        return f"{self.operator}: {self.name}"

    def apply(self, text: str) -> str:
        """The mutated text. AssertionError where there is nothing to change."""
        assert self.old in text, f"{self.id}: {self.old!r} is not in {text!r}"
        if self.count < 0:
            return text.replace(self.old, self.new)
        parts = text.split(self.old)
        head, tail = parts[: self.count + 1], parts[self.count + 1 :]
        return self.old.join(head) + self.new + self.old.join(tail)


# -- definitions: the equation, or a derived size ----------------------------------------------
DEFINITIONS = [
    Edit("padding + 1", "conv2d", "SH*x + DH*i - PT,", "SH*x + DH*i - PT - 1,"),
    Edit("padding - 1", "conv2d", "SW*y + DW*j - PL", "SW*y + DW*j - PL + 1"),
    Edit("padding at the wrong side", "conv2d", "- PT,", "- PB,"),
    Edit("stride and dilation swapped", "conv2d", "SH*x + DH*i", "DH*x + SH*i"),
    Edit("strides of the axes swapped", "conv2d", "SH*x", "SW*x"),
    Edit(
        "flipped taps", "conv2d", "sum[c,i,j](w[o,c,i,j]", "sum[c,i:KH,j:KW](w[o,c,KH-1-i,KW-1-j]"
    ),
    Edit("no bias", "conv2d", " + b[o]", " + 0*b[o]"),
    Edit("groups interleaved", "conv2d", "o//OG*CG + c", "o%G*CG + c"),
    Edit("output length without + 1", "conv2d", "//SH + 1", "//SH"),
    Edit(
        "dilation of K, not K - 1", "conv2d", "W + PL + PR - DW*(KW - 1) - 1", "W + PL + PR - DW*KW"
    ),
    Edit("windows of one row", "max_pool2d", "max[i:KH,", "max[i:1,"),
    Edit(
        "the window's last row left out",
        "max_pool2d",
        "DW*j - PL])",
        "DW*j - PL], i <= KH - 2 + 0*j)",
    ),
    Edit("divides by KH*KH", "avg_pool2d", "/ (KH*KW)", "/ (KH*KH)"),
    Edit("< for <= in the count", "avg_pool2d_valid", "(1, 0 <= SH*x", "(1, 0 < SH*x"),
    Edit("a dropped guard of the count", "avg_pool2d_valid", ", 0 <= SW*y + j - PL < W)", ")"),
    Edit("unbiased variance", "batch_norm", "- mean[c])**2) / (N*L)", "- mean[c])**2) / (N*L - 1)"),
    Edit(
        "mean over the samples only",
        "batch_norm",
        "sum[n,l](X[n,c,l]) / (N*L)",
        "sum[n,l](X[n,c,l]) / N",
    ),
    Edit("eps outside the root", "batch_norm", "sqrt(var[c] + eps)", "(sqrt(var[c]) + eps)"),
    Edit("minus the mean dropped", "batch_norm_inference", "(X[n,c,l] - mean[c])", "X[n,c,l]"),
    Edit("slope 1 at 0", "relu", "<= 0, 0,", "< 0, 0,"),
    Edit("kept below the threshold", "dropout", ">= threshold", "< threshold"),
    Edit("loss without the logit", "softmax_cross_entropy", "log(s[n]) - d[n]", "log(s[n])"),
    Edit("weight transposed", "linear", "w[o,k]", "w[o,K-1-k]"),
    Edit("weight decay with the wrong sign", "sgd", "g[i] + weight", "g[i] - weight"),
    Edit("no look-ahead", "sgd_nesterov", "momentum * v_new[i])", "momentum * v[i])"),
    Edit("the old average", "adam", "rate * m_new[i]", "rate * m[i]"),
    Edit("no root", "adam", "sqrt(v_new[i])", "v_new[i]"),
    Edit("the decay is added", "adamw", "p[i] - lr * weight", "p[i] + lr * weight"),
    Edit("windows overlap", "adaptive_avg_pool2d", "x*H//OH <= u", "x*H//OH - 1 <= u"),
]
EQUIVALENT_DEFINITIONS = [
    Edit(
        "taps in reverse", "linear", "sum[k](Y[n,k] * w[o,k])", "sum[k:K](Y[n,K-1-k] * w[o,K-1-k])"
    ),
    Edit(
        "each term divided", "avg_pool2d", "SW*y + j - PL]) / (KH*KW)", "SW*y + j - PL] / (KH*KW))"
    ),
    Edit("signs exchanged", "mse", "(a[i] - t[i])**2", "(t[i] - a[i])**2"),
]

# -- closed forms: one side of a claim ---------------------------------------------------------
G2 = "G2 input gradient is a convolution"
CLOSED_FORMS = [
    Edit("the flip dropped", "conv2d", "flip(w)", "w", G2),
    Edit(
        "K - 1 - P: sides exchanged",
        "conv2d",
        "- PT, DH*(KH - 1) - PB",
        "- PB, DH*(KH - 1) - PT",
        G2,
    ),
    Edit("K - P for K - 1 - P", "conv2d", "DW*(KW - 1) - PL", "DW*KW - PL", G2),
    Edit("remainder dropped", "conv2d", " + RH", "", G2),
    Edit(
        "remainder at the wrong side",
        "conv2d",
        "- PL, DW*(KW - 1) - PR + RW",
        "- PL + RW, DW*(KW - 1) - PR",
        G2,
    ),
    Edit("S + 1", "conv2d", "SH*x == u", "SH*x + x == u", "G6 gradient of keeping", key="left"),
    Edit("stride for dilation", "conv2d", "G, DH, DW)", "G, SH, SW)", G2),
    Edit("axes of the dilation exchanged", "conv2d", "G, DH, DW)", "G, DW, DH)", G2),
    Edit("flip at stride 1", "conv2d", "flip(w)", "w", "G2 at stride 1, no padding"),
    Edit(
        "taps of another filter",
        "conv2d",
        "k % CG, i, j]",
        "k % CG, KH - 1 - i, j]",
        "G1 input gradient",
    ),
    Edit("the sign of the padding", "conv2d", "== u + PT", "== u - PT", "G1 input gradient"),
    Edit("<= for < in the range", "conv2d", "- PT < H", "- PT <= H", "F1 forward"),
    Edit(
        "padding exchanged",
        "conv2d",
        "pad(Y, PT, PB,",
        "pad(Y, PB, PT,",
        "F1 forward as a composition",
    ),
    Edit(
        "w[x' - x]",
        "conv2d",
        "u - x, v - y], 0",
        "KH - 1 - u + x, v - y], 0",
        "F2 influence at stride 1, no padding",
    ),
    Edit("another channel", "conv2d", "k % CG", "0*k", "F2 influence"),
    Edit("tail cut too early", "conv2d", "u + PT <= SH", "u + PT < SH", "G6 the tail"),
    Edit(
        "K for K - 1", "conv2d", "OH + KH - 1 ==", "OH + KH ==", "G3 size at stride 1", key="goals"
    ),
    Edit("r for S - r", "conv2d", "RH < SH", "RH + 1 < SH", "G3 size", key="goals"),
    Edit(
        "not exchanged",
        "conv2d",
        "exchange(correlate(regroup(Y, G), exchange(grad_z), G, 1, 1))",
        "correlate(regroup(Y, G), exchange(grad_z), G, 1, 1)",
        "G7 at stride 1, no padding",
    ),
    Edit(
        "dilation kept by stride",
        "conv2d",
        ", DH, DW), 0",
        ", SH, DW), 0",
        "G7 weight gradient is a correlation",
    ),
    Edit("padding exchanged", "conv2d", "pad(Y, PT, PB,", "pad(Y, PB, PT,", "G7 weight gradient"),
    Edit(
        "half the bias gradient",
        "conv2d",
        "total_per_channel(grad_z)",
        "total_per_channel(keep(grad_z, 2, 1))",
        "G8 bias gradient",
    ),
    Edit("zeros in front", "conv2d", "0, RH, 0, RW", "RH, 0, 0, RW", "G6 gradient of keeping"),
    Edit(
        "padding deleted at the wrong side",
        "conv2d",
        "-PT, -PB,",
        "-PB, -PT,",
        "G4 padding is deleted",
    ),
    Edit("unbiased for biased", "batch_norm", "inv(N*L)", "inv(N*L - 1)", "B1 biased variance"),
    Edit(
        "the projection on u dropped",
        "batch_norm",
        "times(grad_y, normalise(X, mean, var, eps))",
        "grad_y",
        "B2 input gradient",
    ),
    Edit("m for m - 1", "batch_norm", "inv(N*L - 1)", "inv(N*L)", "B3 unbiased variance"),
    Edit(
        "wrong sign of the step",
        "running_average",
        "1 - momentum",
        "1 + momentum",
        "B3 running average",
    ),
]

# -- elimination rules: a rule of the derivation is changed -----------------------------------
Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Rule:
    """A change of the derivation itself, seen in the kernels that it then generates."""

    name: str
    operator: str
    kernel: str
    patches: Callable[[], Iterable[Patch]]

    @property
    def id(self) -> str:
        """A name for reports."""
        return f"{self.operator}: {self.name}"


def changed_move(rule: str, change: Callable[[Any], Any]) -> Callable[[], Iterable[Patch]]:
    """The moves of one elimination rule, changed after the fact."""

    def patches() -> Iterable[Patch]:
        original = getattr(eliminate, rule)

        def mutated(*args: Any) -> Any:
            move = original(*args)
            return move and change(move)

        yield eliminate, rule, mutated

    return patches


def without(kind: type | None, which: int = 0) -> Callable[[Any], Any]:
    """The move without its guard number `which`, or without those of a kind."""

    def change(move: Any) -> Any:
        kept = [
            g
            for k, g in enumerate(move.guards)
            if (k != which if kind is None else not isinstance(g, kind))
        ]
        return replace(move, guards=tuple(kept))

    return change


def shifted(which: int, by: int) -> Callable[[Any], Any]:
    """The move with one range guard p >= 0 as p + by >= 0."""

    def change(move: Any) -> Any:
        guards = list(move.guards)
        guards[which] = NonNeg(guards[which].args[0] + by)
        return replace(move, guards=tuple(guards))

    return change


def found_as(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The move with what it found changed."""
    return lambda move: replace(move, found={v: change(e) for v, e in move.found.items()})


def swapped_radix(move: Any) -> Any:
    """Quotient and remainder exchanged."""
    swap = {Quo: Rem, Rem: Quo}
    return replace(move, found={v: swap[e.func](*e.args) for v, e in move.found.items()})


def answer(module: Any, name: str, value: Any) -> Callable[[], Iterable[Patch]]:
    """A function of the derivation that always gives the same answer."""
    return lambda: [(module, name, lambda *_: value)]


def split_the_wrong_way() -> Iterable[Patch]:
    original = eliminate.State.put

    def put(self: Any, mapping: Any, solved: Any = None, loop: Any = ()) -> Any:
        first = next(iter(mapping.values()))
        if solved is None and first.is_Add and len(mapping) == 1:  # v = m*q + r
            q, r = _halves(first)
            mapping = {v: e.xreplace({q: r, r: q}) for v, e in mapping.items()}
        return original(self, mapping, solved, loop)

    yield eliminate.State, "put", put


def _halves(e: sp.Expr) -> tuple[Any, Any]:
    names = {str(s)[-2:]: s for s in e.free_symbols}
    return names["_q"], names["_r"]


def column_major() -> Iterable[Patch]:
    def position(indices: Iterable[Any]) -> Any:
        out: Any = sp.Integer(0)
        for i, extent in reversed(list(indices)):
            out = out * extent + i
        return sp.expand(out)

    yield adjoint, "row_major", position


def guardless_chain_rule() -> Iterable[Patch]:
    original = adjoint._contribution
    yield adjoint, "_contribution", lambda o, p: original(replace(o, guards=()), p)


def negative_slope() -> Iterable[Patch]:
    original = adjoint._diff
    yield adjoint, "_diff", lambda e, read: -original(e, read)


def unfactored_sums() -> Iterable[Patch]:
    original = simplify._named_sums

    def named(forward: Any) -> Any:
        for k in original(forward):
            yield replace(k, value=sp.Mul(*[a for a in k.value.args if not a.is_Symbol]))

    yield simplify, "_named_sums", named


def factor_lost() -> Iterable[Patch]:
    def factored(s: Any, guards: Any) -> Any:
        bound = {i for i, _ in s.loops}
        inside = [f for f in sp.Mul.make_args(s.body) if f.free_symbols & bound]
        return Reduce("sum", s.loops, guards, sp.Mul(*inside))

    yield eliminate, "_factored", factored


RULES = [
    Rule(
        "the divisibility guard dropped",
        "conv2d",
        "conv2d_grad_Y",
        changed_move("_divided", without(Divides)),
    ),
    Rule(
        "no guard at the upper end",
        "conv2d",
        "conv2d_grad_Y",
        changed_move("_divided", without(None, 2)),
    ),
    Rule(
        "no guard at the lower end",
        "max_pool2d",
        "max_pool2d_grad_Y",
        changed_move("_divided", without(None, 0)),
    ),
    Rule(
        "upper end off by one, loose",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        changed_move("_divided", shifted(2, 1)),
    ),
    Rule(
        "upper end off by one, tight",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        changed_move("_divided", shifted(2, -1)),
    ),
    Rule(
        "lower end off by one",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        changed_move("_divided", shifted(0, -1)),
    ),
    Rule(
        "the quotient's sign",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        changed_move("_divided", found_as(lambda e: -e)),
    ),
    Rule(
        "quotient plus one",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        changed_move("_divided", found_as(lambda e: e + 1)),
    ),
    Rule(
        "the substitution's sign",
        "conv2d",
        "conv2d_grad_w",
        changed_move("_unit", found_as(lambda e: -e)),
    ),
    Rule(
        "mixed radix: // for %",
        "conv2d",
        "conv2d_grad_Y",
        changed_move("_mixed_radix", swapped_radix),
    ),
    Rule("index split the wrong way", "conv2d", "conv2d_grad_Y", split_the_wrong_way),
    Rule(
        "a guard taken for implied",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        answer(eliminate, "_covers", True),
    ),
    Rule(
        "every guard taken for certain",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        answer(eliminate, "_certain", (True, None)),
    ),
    Rule("factor outside the sum lost", "avg_pool2d", "avg_pool2d_grad_Y", factor_lost),
    Rule("column-major position", "max_pool2d", "max_pool2d_grad_Y", column_major),
    Rule(
        "guards lost in the chain rule",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool2d_grad_Y",
        guardless_chain_rule,
    ),
    Rule("the slope's sign", "mse", "mse_grad_a", negative_slope),
    Rule("known sums without their factor", "batch_norm", "batch_norm_grad_mean", unfactored_sums),
]
EQUIVALENT_RULES = [
    Rule(
        "no guards after mixed radix",
        "conv2d",
        "conv2d_grad_Y",
        changed_move("_mixed_radix", lambda m: replace(m, guards=())),
    ),
    Rule(
        "no guards after substitution",
        "linear",
        "linear_grad_Y",
        changed_move("_unit", lambda m: replace(m, guards=())),
    ),
    Rule(
        "implied guards kept",
        "avg_pool2d",
        "avg_pool2d_grad_Y",
        answer(eliminate, "_covers", False),
    ),
]

# -- kernel texts: one token --------------------------------------------------------------------
KERNELS = [
    Edit("padding + 1", "conv2d", "DH * i + SH * x - PT", "DH * i + SH * x - PT + 1", "conv2d_z"),
    Edit("stride and dilation swapped", "conv2d", "DH * i + SH * x", "SH * i + DH * x", "conv2d_z"),
    Edit("<= for < in the guard", "conv2d", "sum0_u0 < H", "sum0_u0 <= H", "conv2d_z"),
    Edit("a dropped lower guard", "conv2d", "0 <= sum0_u1 && ", "", "conv2d_z"),
    Edit("< for <= in the guard", "conv2d", "0 <= sum0_u0", "0 < sum0_u0", "conv2d_z"),
    Edit("last tap left out", "conv2d", "j < KW", "j < KW - 1", "conv2d_z"),
    Edit("one tap too many", "conv2d", "i < KH", "i < KH + 1", "conv2d_z"),
    Edit("the bias of another channel", "conv2d", "b[o]", "b[o % OG]", "conv2d_z"),
    Edit(
        "axes of the filter exchanged",
        "conv2d",
        "* KH + i) * KW + j",
        "* KH + j) * KW + i",
        "conv2d_z",
    ),
    Edit("groups from the wrong end", "conv2d", "o / OG", "o % G", "conv2d_z"),
    Edit(
        "a flipped tap",
        "conv2d",
        "* KH + i) * KW + j]",
        "* KH + KH - 1 - i) * KW + j]",
        "conv2d_grad_Y",
    ),
    Edit(
        "the divisibility guard dropped",
        "conv2d",
        " && (PT + u - DH * i) % SH == 0",
        "",
        "conv2d_grad_Y",
    ),
    Edit("the lower guard dropped", "conv2d", "DH * i <= PT + u && ", "", "conv2d_grad_Y"),
    Edit("<= for < at the upper end", "conv2d", "sum0_q1 < OW", "sum0_q1 <= OW", "conv2d_grad_Y"),
    Edit("+ for += ", "conv2d", "sum0 += sum0_i", "sum0 += sum0_i + sum0_i", "conv2d_grad_Y"),
    Edit(
        "the first maximum lost",
        "max_pool2d",
        "argmax0 < 0 || term > argmax0_value",
        "argmax0 < 0 || term >= argmax0_value",
        "max_pool2d_z_argmax",
    ),
    Edit("column-major position", "max_pool2d", "KW * i + j", "KH * j + i", "max_pool2d_z_argmax"),
    Edit("minimum for maximum", "max_pool2d", "term > max0", "term < max0", "max_pool2d_z"),
    Edit(
        "unbiased variance",
        "batch_norm",
        "sum0 / ((REAL)L * (REAL)N)",
        "sum0 / ((REAL)L * (REAL)N - (REAL)1)",
        "batch_norm_var",
    ),
    Edit("no eps", "batch_norm", "sqrt(eps + var[c])", "sqrt(var[c])", "batch_norm_y"),
    Edit("half the slope", "batch_norm", "(REAL)2 * (eps", "(REAL)1 * (eps", "batch_norm_grad_var"),
    Edit("an element of the next row", "linear", "Y[n * K + k]", "Y[n * K + k + 1]", "linear_z"),
    Edit("transposed addresses", "linear", "w[o * K + k]", "w[k * K + o]", "linear_z"),
    Edit(
        "the label's logit added twice",
        "softmax_cross_entropy",
        "- d[n]",
        "- (REAL)2 * d[n]",
        "softmax_cross_entropy_loss",
    ),
    Edit(
        "the wrong sign",
        "softmax_cross_entropy",
        "sum0 + exp(",
        "sum0 - exp(",
        "softmax_cross_entropy_grad_a",
    ),
    Edit("the gradient at 0", "relu", "Y[i] <= (REAL)0 ?", "Y[i] < (REAL)0 ?", "relu_grad_Y"),
    Edit("half of the elements", "relu", "if (id < T)", "if (id < T / 2)", "relu_z"),
    Edit("the neighbour is written", "relu", "z[id]", "z[T - 1 - id / 2]", "relu_z"),
]
EQUIVALENT_KERNELS = [
    Edit(
        "factors exchanged",
        "linear",
        "Y[n * K + k] * w[o * K + k]",
        "w[o * K + k] * Y[n * K + k]",
        "linear_z",
    ),
    Edit("-1 < for 0 <=", "conv2d", "0 <= sum0_u0", "-1 < sum0_u0", "conv2d_z"),
    Edit("terms exchanged", "conv2d", "DH * i + SH * x - PT", "SH * x - PT + DH * i", "conv2d_z"),
    Edit(
        "a guard twice",
        "avg_pool2d_valid",
        "0 <= sum0_u0 && sum0_u0 < H",
        "0 <= sum0_u0 && sum0_u0 < H && sum0_u0 <= H",
        "avg_pool2d_valid_z",
    ),
]
