"""Fast kernels as one OpenCL program."""

from __future__ import annotations

from collections.abc import Iterable

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.values import lanewise
from gradproof.codegen.fast.values import lanewise

LANES = 16

# REAL is float or double; a mask of the lanes has integers of REAL's size.
PRELUDE = """\
// Build options: REAL (float, double), MASK (int, long): the integer of its size.
#pragma OPENCL FP_CONTRACT ON
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REALV JOIN(REAL, 16)
#define MASKV JOIN(MASK, 16)
#define VECTOR(pointer, place) (*(__global const REALV *)((pointer) + (place)))
#define STORED(pointer, place) (*(__global REALV *)((pointer) + (place)))
"""


def fast_program(kernels: Iterable[FastKernel]) -> str:
    """The text of a program: the prelude, the helpers that are called, and every kernel once."""
    texts = dict.fromkeys(k.text.strip() for k in kernels)
    helpers = [h for h in [lanewise(texts)] if h]
    return "\n\n".join([PRELUDE.rstrip(), *helpers, *texts]) + "\n"


def fast_options(dtype: str) -> tuple[str, ...]:
    """The build options for float32 or float64."""
    real, mask = {"float32": ("float", "int"), "float64": ("double", "long")}[dtype]
    return (f"-DREAL={real}", f"-DMASK={mask}")
