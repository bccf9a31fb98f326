// sgd_nesterov: generated from its definition, do not edit.
// Certificates: proofs/, sha256 93779ea36aab85f5818b780d06367500bdb59658b33fd2aacde91a179d85a665
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Looks ahead by momentum times the new velocity.
#pragma OPENCL FP_CONTRACT ON

// v_new[i] = keep*(weight_decay*p[i] + g[i]) + momentum*v[i]
__kernel void sgd_nesterov_v_new(
    __global const REAL *p,
    __global const REAL *g,
    __global const REAL *v,
    __global REAL *v_new,
    const REAL weight_decay,
    const REAL momentum,
    const REAL keep,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        v_new[id] = keep * (weight_decay * p[i] + g[i]) + momentum * v[i];
    }
}

// p_new[i] = p[i] - lr*(momentum*v_new[i] + weight_decay*p[i] + g[i])
__kernel void sgd_nesterov_p_new(
    __global const REAL *p,
    __global const REAL *g,
    __global const REAL *v_new,
    __global REAL *p_new,
    const REAL lr,
    const REAL weight_decay,
    const REAL momentum,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        p_new[id] = p[i] - lr * (momentum * v_new[i] + weight_decay * p[i] + g[i]);
    }
}
