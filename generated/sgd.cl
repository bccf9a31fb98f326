// sgd: generated from its definition, do not edit.
// Certificates: proofs/, sha256 5a379d6f9c4e1b76d97ea63714902a1ff0c3a3ff42723c00e1c28a270c42873f
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T parameters p with gradient g.
#pragma OPENCL FP_CONTRACT ON

// p_new[i] = p[i] - lr*(weight_decay*p[i] + g[i])
__kernel void sgd_p_new(
    __global const REAL *p,
    __global const REAL *g,
    __global REAL *p_new,
    const REAL lr,
    const REAL weight_decay,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        p_new[id] = p[i] - lr * (weight_decay * p[i] + g[i]);
    }
}
