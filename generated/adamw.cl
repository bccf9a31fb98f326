// adamw: generated from its definition, do not edit.
// Certificates: proofs/, sha256 1e4c33428b030825829a44797b7aac23b6d6ad42f8343392c98bd68ad053f335
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// As adam, with a weight decay that is no part of the gradient.
#pragma OPENCL FP_CONTRACT ON

// m_new[i] = beta1*m[i] + new1*g[i]
__kernel void adamw_m_new(
    __global const REAL *g,
    __global const REAL *m,
    __global REAL *m_new,
    const REAL beta1,
    const REAL new1,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        m_new[id] = beta1 * m[i] + new1 * g[i];
    }
}

// v_new[i] = beta2*v[i] + new2*g[i]**2
__kernel void adamw_v_new(
    __global const REAL *g,
    __global const REAL *v,
    __global REAL *v_new,
    const REAL beta2,
    const REAL new2,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        v_new[id] = beta2 * v[i] + new2 * g[i] * g[i];
    }
}

// p_new[i] = p[i] - lr*weight_decay*p[i] - rate*m_new[i]/(eps + scale*sqrt(v_new[i]))
__kernel void adamw_p_new(
    __global const REAL *p,
    __global const REAL *m_new,
    __global const REAL *v_new,
    __global REAL *p_new,
    const REAL rate,
    const REAL scale,
    const REAL eps,
    const REAL lr,
    const REAL weight_decay,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        p_new[id] = p[i] - lr * weight_decay * p[i] - rate * m_new[i] / (eps + scale * sqrt(v_new[i]));
    }
}
