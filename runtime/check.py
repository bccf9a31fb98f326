"""`gp.check_gradients`: the reverse pass of a composition against numbers of its forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradproof.runtime.device import Device
from gradproof.runtime.differences import NOISE_STEP, UNIT, Slope, exact_sum, measure_noise, slope
from gradproof.runtime.errors import DeviceError, DTypeError, GradientError
from gradproof.runtime.tensor import Tensor, tensor

Array = np.ndarray[Any, Any]
DIRECTIONS = 2  # random directions for each input
USELESS = 2.0**-7  # an estimate that is this unsure of itself, relatively, shows nothing
TINY = 2.0**-1022 / NOISE_STEP  # steps beside smaller inputs are no normal numbers: they count as 0


@dataclass(frozen=True, repr=False)
class GradientReport:
    """What `check_gradients` compared, and found to agree; printed, it says so in one line.

    inputs: positions of those that were checked, along `directions` random directions in all and
    at `elements` single elements. worst: the difference that is largest as a part of what was
    allowed, and what was allowed there.

    >>> GradientReport((0, 2), 4, 7, (1e-13, 1e-12))
    <gradients agree: inputs 0, 2; 4 directions, 7 elements; largest error 10% of its bound>
    """

    inputs: tuple[int, ...]
    directions: int
    elements: int
    worst: tuple[float, float]

    @property
    def share(self) -> float:
        """The largest difference as a part of what was allowed."""
        difference, allowed = self.worst
        return difference / allowed if allowed else 0.0

    def __repr__(self) -> str:
        checked = f"input{'s' * (len(self.inputs) > 1)} {', '.join(map(str, self.inputs))}"
        places = f"{self.directions} directions, {self.elements} elements"
        return (
            f"<gradients agree: {checked}; {places}; largest error {self.share:.0%} of its bound>"
        )


def check_gradients(
    fn: Callable[..., Any], *inputs: Any, elements: int = 64, seed: int = 0
) -> GradientReport:
    """Check the gradients of `fn(*inputs)`, a composition of layers and functions, numerically.

    fn: takes tensors and returns a Tensor or a tuple of them, of any shapes. inputs: passed on to
    fn; those are checked that require a gradient or, if none does, all real tensors. They are
    copied to float64, whatever their dtype, and stay as they are: `.grad` too. A parameter that fn
    holds on to must be passed as an input, or be float64; `backward` adds to its `.grad`.
    elements: an input of at most so many elements is also checked element by element. seed: decides
    the random directions.

    With random u and v, <J v, u> is the derivative of <fn(inputs + t*v), u> at t = 0, from central
    differences with Richardson's extrapolation; <v, J^T u> is what `backward` gives. They may
    differ by the estimated error of the extrapolation and the measured rounding (see the module
    runtime/differences.py): no tolerance is chosen. Steps are parts of the largest element that
    moves; where they show nothing, of each element by itself, then of the largest of the input.

    Errors: GradientError names the input, the element, both values and the allowed difference; also
    where an input that matters has no gradient at all, as a constant operand has none, and where fn
    has a kink there, is not deterministic or not finite, or overwrites an input; and where nothing
    is shown, as the slope drowns in the rounding of fn's values. DTypeError without a real tensor
    among the inputs or the outputs; DeviceError without float64.

    >>> import gradproof as gp
    >>> x, w = gp.tensor([[1.0, -2.0]]), gp.tensor([[0.5, 3.0], [1.0, 1.0]])
    >>> report = check_gradients(lambda x, w: gp.functional.relu(gp.functional.linear(x, w)), x, w)
    >>> report.inputs, report.elements, report.share <= 1
    ((0, 1), 6, True)
    """
    check = _Check(fn, inputs, _chosen(inputs), np.random.default_rng(seed))
    check.prepare()
    for position in check.positions:
        for _ in range(DIRECTIONS):
            check.along(position, check.random_direction(position))
        if check.values[position].size <= elements:
            for element in np.ndindex(check.values[position].shape):
                check.along(position, _basis(check.values[position], element))
                check.elements += 1
    return GradientReport(
        check.positions, DIRECTIONS * len(check.positions), check.elements, check.worst
    )


def _chosen(inputs: Sequence[Any]) -> tuple[int, ...]:
    """The positions of the inputs to check."""
    real = [k for k, t in enumerate(inputs) if isinstance(t, Tensor) and t.dtype.kind == "f"]
    if not real:
        kinds = ", ".join(
            str(t.dtype) if isinstance(t, Tensor) else type(t).__name__ for t in inputs
        )
        raise DTypeError(
            f"check_gradients: inputs are {kinds or 'none'}, expected at least one Tensor of "
            "float32 or float64 (gp.tensor)"
        )
    device: Device = inputs[real[0]].device
    if not device.info.fp64:
        raise DeviceError(
            f"check_gradients: {device.info.name} has no float64, which the check computes in; "
            "choose another device with gp.use_device"
        )
    wanted = [k for k in real if inputs[k].requires_grad]
    return tuple(wanted or real)


class _NothingShown(GradientError):
    """The values of fn do not tell its derivative; `drowned`: as rounding hides it."""

    def __init__(self, message: str, drowned: bool = False) -> None:
        super().__init__(message)
        self.drowned = drowned


@dataclass
class _Check:
    """The function at a point, a random cotangent, and the gradients of the reverse pass."""

    fn: Callable[..., Any]
    inputs: tuple[Any, ...]
    positions: tuple[int, ...]
    rng: np.random.Generator
    values: dict[int, Array] = field(default_factory=dict)
    cotangents: list[Array] = field(default_factory=list)
    noise: dict[int, float] = field(default_factory=dict)  # as the last full direction had it
    gradients: dict[int, Array] = field(default_factory=dict)
    without: set[int] = field(default_factory=set)  # inputs that no cotangent reached
    worst: tuple[float, float] = (0.0, 0.0)
    elements: int = 0
    scale: float = 0.0  # the largest |x * slope| of an element x, as backward gives it

    def prepare(self) -> None:
        """Run forward twice and backward once."""
        self.values = {
            k: t.numpy().astype(np.float64)
            for k, t in enumerate(self.inputs)
            if isinstance(t, Tensor) and t.dtype.kind == "f"
        }
        leaves = self._copies(self.values)
        outputs = self._run(leaves)
        first = [z.numpy() for z in outputs]
        again = [z.numpy() for z in self._run(self._copies(self.values))]
        same = [a.shape == b.shape and _equal(a, b) for a, b in zip(first, again, strict=False)]
        if len(first) != len(again) or not all(same):
            raise GradientError(
                "check_gradients: fn gives other values when it is called again with the same "
                "inputs; take out what draws random numbers, such as dropout (model.eval())"
            )
        if not all(np.isfinite(a).all() for a in first):
            raise GradientError("check_gradients: fn has values that are not finite at the inputs")
        self.cotangents = [self.rng.uniform(0.5, 1, a.shape) * _signs(self.rng, a) for a in first]
        for z, u in zip(outputs, self.cotangents, strict=True):
            if z.node is not None or z.requires_grad:
                z.backward(tensor(u, device=z.device))
        for k in self.positions:
            grad = leaves[k].grad
            if grad is None:
                self.without.add(k)
            self.gradients[k] = np.zeros(leaves[k].shape) if grad is None else grad.numpy()
            for at in np.argwhere(~np.isfinite(self.gradients[k])):
                raise GradientError(
                    f"check_gradients: input {k}, element {at.tolist()}: backward gives "
                    f"{self.gradients[k][tuple(at)]}"
                )
            with np.errstate(over="ignore", under="ignore"):
                weighed = np.abs(self.gradients[k] * self.values[k])
            self.scale = max(self.scale, float(weighed.max(initial=0.0)))

    def along(self, position: int, direction: Array, narrowing: bool = False) -> None:
        """Compare both sides of <J v, u> = <v, J^T u>, where one input moves along v.

        v: the direction times the size of the steps. Where the sides differ, the elements are
        halved until one is left; while `narrowing` so, a half may drown. Errors: GradientError.
        """
        try:
            v, found, reverse, allowed = self._first_that_shows(position, direction)
        except _NothingShown as error:
            if error.drowned and narrowing:
                return
            raise GradientError(str(error)) from None
        difference = abs(found.value - reverse)
        if difference <= allowed:
            if not self.worst[1] or difference * self.worst[1] > self.worst[0] * allowed:
                self.worst = difference, allowed
            return
        places = np.flatnonzero(v)
        if len(places) > 1:
            for half in np.array_split(places, 2):
                part = np.zeros(v.size)
                part[half] = direction.reshape(-1)[half]
                self.along(position, part.reshape(v.shape), narrowing=True)
        at = list(map(int, np.unravel_index(places[0], v.shape))) if len(places) == 1 else None
        size = _size(v)
        where = f"element {at}" if at is not None else "a random direction"
        slope = f"the forward pass {found.value / size:.12g}"
        if position in self.without:
            raise GradientError(
                f"check_gradients: input {position} has no gradient (declared constant? "
                f"detached?), but {where} matters: {slope}; give requires_grad=True to the inputs "
                "to check"
            )
        raise GradientError(
            f"check_gradients: input {position}, {where}: backward gives "
            f"{reverse / size + 0.0:.12g}, {slope}; allowed difference {allowed / abs(size):.3g}"
        )

    def _first_that_shows(
        self, position: int, direction: Array
    ) -> tuple[Array, Slope, float, float]:
        """v, and what `_sides` gives along it, for the first sizes of steps that show something."""
        problems = []
        for sizes in _step_sizes(self.values[position], direction != 0):
            v = direction * sizes
            try:
                return v, *self._sides(position, v)
            except _NothingShown as problem:
                problems.append(problem)
        raise problems[0]

    def _sides(self, position: int, v: Array) -> tuple[Slope, float, float]:
        """The derivative from values, <v, gradient>, and how much they may differ."""
        where = f"check_gradients: input {position}"
        gradient, phi = self.gradients[position], self._phi(position, v)
        if np.count_nonzero(v) == v.size or position not in self.noise:
            self.noise[position] = measure_noise(phi) + self._last_rounding
        found = slope(phi, self.noise[position])
        if found is None:
            raise _NothingShown(f"{where}: fn has values that are not finite beside the inputs")
        where = f"{where}, {_shown(v)}"
        products = (v * gradient).ravel().tolist()
        reverse = exact_sum(products)
        allowed = found.error + len(products) * UNIT * exact_sum(list(map(abs, products)))
        if not (found.finite and math.isfinite(reverse) and math.isfinite(allowed)):
            raise _NothingShown(
                f"{where}: nothing can be shown at this magnitude: the differences of fn or their "
                "allowed error overflow; scale the inputs or the function"
            )
        if found.kink:
            raise _NothingShown(
                f"{where}: fn is not differentiable here: its slope is "
                f"{found.left / _size(v):.6g} on one side and {found.right / _size(v):.6g} on the "
                f"other, backward gives {reverse / _size(v):.6g}; move the inputs away from the "
                "kink (relu at 0, a tie of a maximum)"
            )
        # A slope of 0 is known well where its error is small beside the slopes that fn has nearby,
        # or along other inputs (a bias before batch norm), which are checked themselves.
        largest = max(abs(found.value), abs(reverse), found.beside, self.scale)
        both_zero = found.value == 0 and not gradient[v != 0].any()
        if not (both_zero or (largest > 0 and found.error <= USELESS * largest)):
            self._nothing_shown(where, found, v, abs(found.value - reverse) > allowed)
        return found, reverse, allowed

    def _nothing_shown(self, where: str, found: Slope, v: Array, differs: bool) -> None:
        """Say why the estimate is useless, unless it still excludes what backward gives."""
        value = f"({found.value / _size(v):.6g}, give or take {found.error / _size(v):.3g})"
        if found.truncation > found.error - found.truncation:
            raise _NothingShown(
                f"{where}: the differences of fn do not settle {value}; it has no derivative that "
                "could be checked"
            )
        if not differs:
            raise _NothingShown(
                f"{where}: the slope drowns in rounding of fn's values {value}; scale the "
                "function, or its parts, so that the slope counts",
                drowned=True,
            )

    def _phi(self, position: int, v: Array) -> Callable[[float], float]:
        """t -> <fn(inputs + t*v), u>, summed without rounding."""

        def phi(t: float) -> float:
            moved = {**self.values, position: self.values[position] + t * v}
            outputs = self._run(self._copies(moved))
            terms = [x for z, u in zip(outputs, self.cotangents, strict=True)
                     for x in (z.numpy() * u).ravel().tolist()]  # fmt: skip
            below = len(terms) * math.ulp(0.0)  # what a product loses that is no normal number
            self._last_rounding = 2 * (UNIT * exact_sum(list(map(abs, terms))) + below)
            return exact_sum(terms)

        return phi

    _last_rounding: float = 0.0  # of the outputs and their products with u, at the last point

    def random_direction(self, position: int) -> Array:
        """Numbers from 1/2 to 1 of either sign: none is 0, so that no element is left out."""
        a = self.values[position]
        direction: Array = self.rng.uniform(0.5, 1, a.shape) * _signs(self.rng, a)
        return direction

    def _copies(self, values: dict[int, Array]) -> list[Any]:
        """The inputs with other values; those to check require a gradient: fn may ask for it."""
        copies = list(self.inputs)
        for k, a in values.items():
            wanted = k in self.positions
            copies[k] = tensor(a, device=self.inputs[k].device, requires_grad=wanted)
        return copies

    def _run(self, inputs: list[Any]) -> list[Tensor]:
        """The real outputs. Errors: DTypeError, GradientError where fn overwrites an input."""
        try:
            result = self.fn(*inputs)
        except DTypeError as error:
            raise DTypeError(
                f"check_gradients runs fn in float64: {error}; "
                "pass every parameter that fn uses as an input"
            ) from error
        outputs = result if isinstance(result, tuple | list) else (result,)
        for z in outputs:
            if not isinstance(z, Tensor):
                raise DTypeError(
                    f"check_gradients: fn returned {type(z).__name__}, "
                    "expected a Tensor or a tuple of them"
                )
        for k, t in enumerate(inputs):
            if k in self.values and t.storage.version:
                raise GradientError(f"check_gradients: fn overwrites input {k}")
        real = [z for z in outputs if z.dtype.kind == "f"]
        if not real:
            raise DTypeError("check_gradients: fn returned no real tensor")
        return real


def _equal(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _signs(rng: np.random.Generator, like: Array) -> Array:
    signs: Array = rng.choice([-1.0, 1.0], like.shape)
    return signs


def _step_sizes(x: Array, moving: Array) -> list[Array]:
    """Sizes of the steps to try, powers of 2 to round little: see `check_gradients`."""
    size = np.where(np.abs(x) < TINY, 0.0, np.ldexp(0.5, np.frexp(np.abs(x))[1]))
    largest = float(size.max(initial=0.0)) or 1.0
    common = float(size[moving].max(initial=0.0)) or 1.0
    tried: list[Array] = []
    for wanted in (common, np.where(size == 0, largest, size), largest):
        sizes = np.where(moving, wanted, 0.0)
        if not any(np.array_equal(sizes, t) for t in tried):
            tried.append(sizes)
    return tried


def _size(v: Array) -> float:
    """What derivatives along v are divided by in messages: one element's slope is a gradient."""
    moved = v[v != 0]
    return float(moved[0]) if moved.size == 1 else 1.0


def _basis(like: Array, element: tuple[int, ...]) -> Array:
    v = np.zeros(like.shape)
    v[element] = 1.0
    return v


def _shown(v: Array) -> str:
    if np.count_nonzero(v) > 1:
        return "a random direction"
    return f"element {np.argwhere(v)[0].tolist()}"
