// adam: generated from its definition, do not edit.
// Certificates: proofs/, sha256 35ab65599cc7931838063cb223641e1dd6dff6d5e65f99106931c6acde642b3d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Averages m of the gradient and v of its square; weight decay is part of the gradient.
#pragma OPENCL FP_CONTRACT ON

// m_new[i] = beta1*m[i] + new1*(weight_decay*p[i] + g[i])
__kernel void adam_m_new(
    __global const REAL *p,
    __global const REAL *g,
    __global const REAL *m,
    __global REAL *m_new,
    const REAL beta1,
    const REAL new1,
    const REAL weight_decay,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        m_new[id] = beta1 * m[i] + new1 * (weight_decay * p[i] + g[i]);
    }
}

// v_new[i] = beta2*v[i] + new2*(weight_decay*p[i] + g[i])**2
__kernel void adam_v_new(
    __global const REAL *p,
    __global const REAL *g,
    __global const REAL *v,
    __global REAL *v_new,
    const REAL beta2,
    const REAL new2,
    const REAL weight_decay,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        v_new[id] = beta2 * v[i] + new2 * (weight_decay * p[i] + g[i]) * (weight_decay * p[i] + g[i]);
    }
}

// p_new[i] = p[i] - rate*m_new[i]/(eps + scale*sqrt(v_new[i]))
__kernel void adam_p_new(
    __global const REAL *p,
    __global const REAL *m_new,
    __global const REAL *v_new,
    __global REAL *p_new,
    const REAL rate,
    const REAL scale,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        p_new[id] = p[i] - rate * m_new[i] / (eps + scale * sqrt(v_new[i]));
    }
}
