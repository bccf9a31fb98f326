// clip_norm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 e2b85a53c02cb310194e111a260de558be5aeaea05f65f1f33e570985834e7df
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements of a whole whose squares add up to t; eps avoids a quotient by zero.
#pragma OPENCL FP_CONTRACT ON

// norm = sqrt(t)
__kernel void clip_norm_norm(
    __global const REAL *t,
    __global REAL *norm,
    __global const int *restrict sizes)
{
    const int id = get_global_id(0);
    if (id < 1) {
        norm[id] = sqrt(t[0]);
    }
}

// h[i] = (g[i] if limit >= eps + norm; limit*g[i]/(eps + norm) otherwise)
__kernel void clip_norm_h(
    __global const REAL *restrict g,
    __global const REAL *restrict norm,
    __global REAL *restrict h,
    const REAL limit,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        h[id] = (limit >= eps + norm[0] ? g[i] : limit * g[i] / (eps + norm[0]));
    }
}
