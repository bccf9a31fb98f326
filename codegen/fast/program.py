"""Fast kernels as one OpenCL program."""

from __future__ import annotations

from collections.abc import Iterable

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.values import lanewise, single

LANES = 16

# REAL is float or double; a mask of the lanes has integers of REAL's size.
PRELUDE = """\
// Build options: REAL (float, double), MASK (int, long): the integer of its size.
#pragma OPENCL FP_CONTRACT ON
#pragma clang diagnostic ignored "-Wpsabi" // vectors are passed only to functions of this file
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REALV JOIN(REAL, 16)
#define MASKV JOIN(MASK, 16)
#define VECTOR(pointer, place) (*(__global const REALV *)((pointer) + (place)))
#define STORED(pointer, place) (*(__global REALV *)((pointer) + (place)))
// The same at any place; integers are int in memory and MASK in lanes.
typedef REALV LOOSE __attribute__((aligned(sizeof(REAL))));
typedef int16 WHOLE __attribute__((aligned(4)));
#define LOADED(pointer, place) (*(__global const LOOSE *)((pointer) + (place)))
#define PLACED(pointer, place) (*(__global LOOSE *)((pointer) + (place)))
#define LOADED_WHOLE(pointer, place) \\
    __builtin_convertvector(*(__global const WHOLE *)((pointer) + (place)), MASKV)
#define PLACED_WHOLE(pointer, place) (*(__global WHOLE *)((pointer) + (place)))
#define LANE ((MASKV)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
// Memory that is soon read, or written: on its way to the cache, where a processor does that.
#if defined(__x86_64__) || defined(__aarch64__)
#define SOON(pointer) __builtin_prefetch((const void *)(uintptr_t)(pointer))
#define SOON_STORED(pointer) __builtin_prefetch((const void *)(uintptr_t)(pointer), 1)
#else
#define SOON(pointer)
#define SOON_STORED(pointer)
#endif
"""
SCALAR_PRELUDE = """\
// Build option: REAL (float, double).
#pragma OPENCL FP_CONTRACT ON
"""


def fast_program(kernels: Iterable[FastKernel], vectors: bool = True) -> str:
    """The text of a program: the prelude, the helpers that are called, and every kernel once.
    vectors: whether the kernels have vectors of 16 lanes."""
    texts = dict.fromkeys(k.text.strip() for k in kernels)
    helpers = [h for h in [lanewise(texts) if vectors else single(texts)] if h]
    prelude = PRELUDE if vectors else SCALAR_PRELUDE
    return "\n\n".join([prelude.rstrip(), *helpers, *texts]) + "\n"


def fast_options(dtype: str) -> tuple[str, ...]:
    """The build options for float32 or float64. In float32 a number in the text is one at once:
    `(REAL)0.1` would be in double first, which a device may lack."""
    real, mask = {"float32": ("float", "int"), "float64": ("double", "long")}[dtype]
    constants = ("-cl-single-precision-constant",) if dtype == "float32" else ()
    return (f"-DREAL={real}", f"-DMASK={mask}", *constants)
