// sgd: generated from its definition, do not edit.
// Certificates: proofs/, sha256 718db2965c0b1613426e57ec5c6965fa9d2b320da4303673ef951ba74fd6c831
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
