"""What a counterexample says, computed anew without the checker's and the prover's code.

Definitions and gradients are scattered by brute force (`derive.interpret`), closed forms composed
with NumPy, other expressions walked as Python syntax, kernels built and run by OpenCL.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pyopencl as cl

from gradproof.derive.adjoint import PREFIX, adjoint, prepare
from gradproof.derive.arithmetic import HIGH
from gradproof.derive.expr import Philox
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.language import Definition
from gradproof.derive.prove.values import Values
from gradproof.runtime.device import current_device

Array = np.ndarray[Any, Any]
GUARD, POISON = 64, 2.0**100  # elements around a buffer, and what they hold
Example = Any


def exact(x: Any) -> Any:
    """A number that stays exact in NumPy's object arrays."""
    return Fraction(x)


def tensor_of(values: Values, name: str) -> Array:
    """A tensor with the elements of an example."""
    shape = values.shape(name)
    out = np.empty(shape, object)
    for at in np.ndindex(shape):
        out[at] = values.read(name, at)
    return out


# -- definitions ------------------------------------------------------------------------------
def computed(d: Definition, example: Example, target: str) -> Array:
    """A tensor or gradient of a definition at an example's sizes and elements."""
    values = example.values
    rounds = any(e.body.atoms(Philox) for e in d.equations) or needs_reals(d)
    real: Callable[[Any], Any] = _high if rounds else exact
    sizes = {str(s): example.sizes[str(s)] for s in d.sizes}
    inputs = {n: _numbers(d, values, n, real) for n in d.inputs}
    scalars = {
        n: values.scalars[n] if t == "uint" else real(values.scalars[n]) for n, t in d.scalars
    }
    if not target.startswith(PREFIX):
        return tensors_to(d, target, sizes, inputs, scalars)
    cotangents = {n: _map(tensor_of(values, PREFIX + n), real) for n in d.outputs}
    source = target.removeprefix(PREFIX)
    if source in d.differentiable:
        return np.asarray(gradients(d, sizes, inputs, cotangents, scalars)[source])
    forward = prepare(d)  # the gradient of an intermediate tensor: deltas and all
    known = inputs | evaluate(forward, sizes, inputs, scalars)
    known |= {PREFIX + n: g for n, g in cotangents.items()}
    return np.asarray(evaluate(adjoint(forward), sizes, known, scalars)[target])


def tensors_to(d: Definition, target: str, sizes: Any, inputs: Any, scalars: Any) -> Array:
    """A tensor that a definition computes, without what comes after it."""
    forward = d if any(e.target == target for e in d.equations) else prepare(d)
    last = [e.target for e in forward.equations].index(target)
    part = replace(forward, equations=forward.equations[: last + 1])
    return np.asarray(evaluate(part, sizes, inputs, scalars)[target])


def needs_reals(d: Definition) -> bool:
    """Whether the definition has roots or functions, which no rational gives."""
    return any(
        name in text
        for e in d.equations
        for text in [str(e.body)]
        for name in ("exp", "log", "sqrt")
    )


def _numbers(d: Definition, values: Values, name: str, real: Callable[[Any], Any]) -> Array:
    found = tensor_of(values, name)
    return _map(found, real) if d.tensor(name).dtype == "real" else found.astype(np.int64)


def _map(a: Array, f: Callable[[Any], Any]) -> Array:
    out = np.empty(a.shape, object)
    for at in np.ndindex(a.shape):
        out[at] = f(a[at])
    return out


def _high(x: Any) -> Any:
    f = Fraction(x)
    return HIGH.mpf(f.numerator) / f.denominator


def same(a: Any, b: Any) -> bool:
    """Whether two numbers agree to 9 digits."""
    a, b = float(a), float(b)
    return bool(a == b or abs(a - b) <= 1e-9 * (1 + abs(a)))


# -- closed forms -----------------------------------------------------------------------------
def correlate(y: Array, w: Array, g: int, dh: int, dw: int) -> Array:
    n, _, h, v = y.shape
    o, cg, kh, kw = w.shape
    out = np.zeros((n, o, h - dh * (kh - 1), v - dw * (kw - 1)), object)
    for k, i, j in product(range(o), range(kh), range(kw)):
        first = k // (o // g) * cg
        rows, columns = slice(dh * i, dh * i + out.shape[2]), slice(dw * j, dw * j + out.shape[3])
        out[:, k] += np.einsum(
            "ncxy,c->nxy", y[:, first : first + cg, rows, columns], w[k, :, i, j]
        )
    return out


def transpose(w: Array, g: int) -> Array:
    blocks = np.split(w, g)
    return np.concatenate([b.swapaxes(0, 1) for b in blocks])


def upsample(y: Array, sh: int, sw: int) -> Array:
    n, c, h, w = y.shape
    out = np.zeros((n, c, sh * (h - 1) + 1, sw * (w - 1) + 1), object)
    out[:, :, ::sh, ::sw] = y
    return out


def pad(y: Array, *sides: int) -> Array:
    top, bottom, left, right = sides
    more = [(max(a, 0), max(b, 0)) for a, b in ((0, 0), (0, 0), (top, bottom), (left, right))]
    wide = np.pad(y, more)
    h, w = wide.shape[2:]
    return wide[:, :, max(-top, 0) : h - max(-bottom, 0), max(-left, 0) : w - max(-right, 0)]


def regroup(y: Array, g: int) -> Array:
    return np.concatenate([b.swapaxes(0, 1) for b in np.split(y, g, axis=1)], axis=1)


COMPOSED: dict[str, Callable[..., Array]] = {
    "correlate": correlate,
    "transpose": transpose,
    "flip": lambda w: w[:, :, ::-1, ::-1],
    "upsample": upsample,
    "pad": pad,
    "keep": lambda y, sh, sw: y[:, :, ::sh, ::sw],
    "exchange": lambda y: y.swapaxes(0, 1),
    "regroup": regroup,
    "add_bias": lambda y, b: y + b[:, None, None],
    "total_per_channel": lambda y: y.sum(axis=(0, 2, 3)),
    "channel_sums": lambda t: t.sum(axis=(0, 2)),
    "spread": lambda v, n, m: np.broadcast_to(v[None, :, None], (n, len(v), m)),
    "times": operator.mul,
    "minus": operator.sub,
    "plus": operator.add,
    "scaled": lambda t, q: t * q,
    "vector_scaled": lambda v, q: v * q,
    "vector_sum": operator.add,
    "normalise": lambda x, m, v, e: (x - m[:, None]) * _map(v, lambda s: 1 / root(s + e))[:, None],
    "deviate": lambda v, e: _map(v, lambda s: 1 / root(s + e)),
    "matmul": lambda a, b: a.dot(b),
    "matrix_transpose": lambda a: a.T,
    "add_to_rows": operator.add,
    "sum_of_rows": lambda a: a.sum(axis=0),
    "matrix_scaled": lambda a, q: a * q,
    "matrix_minus": operator.sub,
    "sum_of": operator.add,
    "difference": operator.sub,
    "multiple": lambda t, q: t * q,
    "where_positive": lambda s, t: np.where(t > 0, s, 0),
}


def root(x: Any) -> Any:
    return _fraction(HIGH.sqrt(_high(x)))


def _fraction(x: Any) -> Fraction:
    sign, man, exponent, _ = x._mpf_
    return Fraction(-int(man) if sign else int(man)) * Fraction(2) ** int(exponent)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "inv": lambda x: 1 / Fraction(x),
    "sqrt": root,
    "exp": lambda x: _fraction(HIGH.exp(_high(x))),
    "log": lambda x: _fraction(HIGH.log(_high(x))),
}
OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
}


class Walk:
    """A recorded expression, read as Python's syntax with numbers for all names."""

    def __init__(self, names: dict[str, Any], tensors: Callable[[str], Array]) -> None:
        self.names, self.tensors = dict(names), tensors

    def text(self, text: str) -> Any:
        """The value of an expression or a condition."""
        return self.value(ast.parse(text.strip(), mode="eval").body)

    def value(self, n: Any) -> Any:
        match n:
            case ast.Constant(value=c):
                return c
            case ast.Name(id=name):
                return self.names[name]
            case ast.UnaryOp(operand=a):
                return -self.value(a)
            case ast.BinOp(left=a, op=op, right=b):
                return OPERATORS[type(op)](self.value(a), self.value(b))
            case ast.Compare(left=a, ops=ops, comparators=rest):
                sides = [self.value(x) for x in (a, *rest)]
                pairs = zip(sides, ops, sides[1:], strict=False)
                return all(OPERATORS[type(op)](x, y) for x, op, y in pairs)
            case ast.BoolOp(values=parts):
                return all(self.value(p) for p in parts)
            case ast.Subscript(value=t, slice=s):
                parts = s.elts if isinstance(s, ast.Tuple) else [s]
                at = tuple(int(self.value(p)) for p in parts)
                found = self.tensor(t)
                if not all(0 <= k < n for k, n in zip(at, found.shape, strict=True)):
                    raise IndexError(f"{ast.unparse(t)}{list(at)}")
                return found[at]
            case ast.Call(func=ast.Subscript(slice=s), args=[body, *conditions]):
                return self.total(s.elts if isinstance(s, ast.Tuple) else [s], body, conditions)
            case ast.Call(func=ast.Name(id="where"), args=[c, a, b]):
                return self.value(a if self.value(c) else b)
            case ast.Call(func=ast.Name(id=name), args=[a]):
                return FUNCTIONS[name](self.value(a))
        raise AssertionError(ast.unparse(n))

    def total(self, loops: list[Any], body: Any, conditions: list[Any]) -> Any:
        total: Any = 0
        for inner in self.inside(loops):
            if all(inner.value(c) for c in conditions):
                total += inner.value(body)
        return total

    def inside(self, loops: list[Any]) -> Iterator[Walk]:
        ranges = [range(int(self.value(s.upper))) for s in loops]
        for at in product(*ranges):
            own = {s.lower.id: k for s, k in zip(loops, at, strict=True)}
            yield Walk(self.names | own, self.tensors)

    def tensor(self, n: Any) -> Array:
        match n:
            case ast.Name(id=name):
                return self.tensors(name)
            case ast.Call(func=ast.Name(id=name), args=args):
                return COMPOSED[name](*map(self.argument, args))
        raise AssertionError(ast.unparse(n))

    def argument(self, n: Any) -> Any:
        tensor = isinstance(n, ast.Call) and getattr(n.func, "id", "") in COMPOSED
        if tensor or (isinstance(n, ast.Name) and n.id not in self.names):
            return self.tensor(n)
        return self.value(n)


def side(d: Definition, claim: Any, which: str, example: Example) -> Any:
    """One side of a claim at an example's place."""
    spec, place = claim[which], tuple(example.place.values())
    match spec:
        case {"adjoint": name}:
            return computed(d, example, PREFIX + name)[place]
        case {"value": name}:
            return computed(d, example, name)[place]
        case {"partial": [target, operand]}:
            return slope(d, example, target, operand)
    walk = Walk({**example.values.scalars, **example.sizes}, lambda n: known(d, example, n))
    for name, text in claim.get("where", {}).items():
        walk.names[name] = walk.text(text)
    walk.names |= example.place
    if "text" in spec:
        return walk.text(spec["text"])
    return walk.tensor(ast.parse(spec["tensor"], mode="eval").body)[place]


def known(d: Definition, example: Example, name: str) -> Array:
    """A tensor that a claim reads: given, or computed by the definition."""
    if name in d.inputs or (name.removeprefix(PREFIX) in d.outputs and name.startswith(PREFIX)):
        return tensor_of(example.values, name)
    found = computed(d, example, name)
    return _map(found, lambda x: _fraction(x) if hasattr(x, "_mpf_") else x)


def slope(d: Definition, example: Example, target: str, operand: str) -> Any:
    """d target[first places] / d operand[other places], of an operator that is affine in it."""
    at = tuple(example.place.values())
    rank = len(d.tensor(target).shape)
    before = computed(d, example, target)[at[:rank]]
    key = operand, at[rank:]
    old = example.values.read(*key)
    example.values.elements[key] = old + 1
    after = computed(d, example, target)[at[:rank]]
    example.values.elements[key] = old
    return after - before


# -- kernels ----------------------------------------------------------------------------------
def launched(text: str, kernel: str, example: Example) -> Array:
    """What a kernel stores, built by OpenCL in double. Every operand stands between guards, so that
    what is read around it shows as a huge number; what is not written is NaN."""
    values, sizes = example.values, example.sizes
    context = current_device().context
    options = ["-D REAL=double", *(f"-D SIZE_{s}=({v})" for s, v in sizes.items())]
    built = cl.Program(context, text).build(options=options)
    queue = cl.CommandQueue(context)
    arguments: list[Any] = []
    keep, out = [], None
    for words in parameters(text, kernel):
        name, kind = words[-1], np.int32 if "int" in words else np.float64
        if "*" not in words:
            number = values.scalars[name]
            arguments.append(np.uint32(number) if "uint" in words else np.float64(number))
            continue
        written = "const" not in words
        if written:
            data = np.full(values.shape(name), -99 if kind is np.int32 else np.nan, kind)
        else:
            data = np.zeros(1, kind) if name == "sizes" else tensor_of(values, name).astype(kind)
        whole, part = guarded(context, queue, data)
        keep.append(whole)
        arguments.append(part)
        out = (part, data) if written else out
    assert out is not None
    getattr(built, kernel)(queue, (max(out[1].size, 1) + 1,), None, *arguments)
    result = np.empty_like(out[1])
    cl.enqueue_copy(queue, result, out[0])
    return result


def parameters(text: str, kernel: str) -> list[list[str]]:
    """The words of a kernel's parameters, the name last."""
    found = re.search(rf"__kernel void {kernel}\(([^)]*)\)", text)
    assert found
    return [p.replace("*", " * ").split() for p in found[1].split(",")]


def guarded(context: Any, queue: Any, data: Array) -> tuple[Any, Any]:
    """A buffer with guards around it, and the part between them."""
    fill = POISON if data.dtype.kind == "f" else 2**30
    flat = np.full(data.size + 2 * GUARD, fill).astype(data.dtype)
    flat[GUARD : GUARD + data.size] = data.ravel()
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    whole = cl.Buffer(context, flags, hostbuf=flat)
    return whole, whole.get_sub_region(GUARD * data.itemsize, max(data.nbytes, data.itemsize))


def named_read(what: str) -> tuple[str, tuple[int, ...], tuple[int, ...]] | None:
    """(tensor, subscripts, shape) of a read that a counterexample names."""
    found = re.search(
        r"reads outside: (\w+)\[([-\d, ]+)\] lies outside \w+, of shape \(([\d, ]+)\)", what
    )
    if not found:
        return None
    at, shape = (tuple(int(k) for k in found[g].split(",") if k.strip()) for g in (2, 3))
    return found[1], at, shape
