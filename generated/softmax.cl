// softmax: generated from its definition, do not edit.
// Certificates: proofs/, sha256 2416001e0925a696219067aaab36f0c661fea899d5ef92791a55a37103a237b0
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along C of an array M x C x L.
#pragma OPENCL FP_CONTRACT ON

// m[i, l] = max_{c<C} a[i, c, l]
__kernel void softmax_m(
    __global const REAL *restrict a,
    __global REAL *restrict m,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int i = id / L;
        const int l = id % L;
        REAL max0 = -INFINITY;
        for (int c = 0; c < C; c++) {
            const REAL term = a[(i * C + c) * L + l];
            if (term > max0 || term != term) {
                max0 = term;
            }
        }
        m[id] = max0;
    }
}

// m_argmax[i, l] = argmax_{c<C} a[i, c, l]
__kernel void softmax_m_argmax(
    __global const REAL *restrict a,
    __global int *restrict m_argmax,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int i = id / L;
        const int l = id % L;
        int argmax0 = -1;
        REAL argmax0_value = -INFINITY;
        for (int c = 0; c < C; c++) {
            const REAL term = a[(i * C + c) * L + l];
            if (argmax0 < 0 || term > argmax0_value || (term != term && argmax0_value == argmax0_value)) {
                argmax0_value = term;
                argmax0 = c;
            }
        }
        m_argmax[id] = argmax0;
    }
}

// s[i, l] = Σ_{c<C} exp(a[i, c, l] - m[i, l])
__kernel void softmax_s(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global REAL *restrict s,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int i = id / L;
        const int l = id % L;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += exp(a[(i * C + c) * L + l] - m[i * L + l]);
        }
        s[id] = sum0;
    }
}

// y[i, c, l] = exp(a[i, c, l] - m[i, l])/s[i, l]
__kernel void softmax_y(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const REAL *restrict s,
    __global REAL *restrict y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < C * L * M) {
        const int i = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        y[id] = exp(a[(i * C + c) * L + l] - m[i * L + l]) / s[i * L + l];
    }
}

// grad_s[i, l] = -Σ_{c<C} exp(a[i, c, l] - m[i, l])*grad_y[i, c, l]/s[i, l]**2
__kernel void softmax_grad_s(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const REAL *restrict s,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_s,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int i = id / L;
        const int l = id % L;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += exp(a[(i * C + c) * L + l] - m[i * L + l]) * grad_y[(i * C + c) * L + l];
        }
        grad_s[id] = -sum0 / (s[i * L + l] * s[i * L + l]);
    }
}

// grad_m[i, l] = -grad_s[i, l]*s[i, l] - Σ_{c<C} exp(a[i, c, l] - m[i, l])*grad_y[i, c, l]/s[i, l]
__kernel void softmax_grad_m(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const REAL *restrict s,
    __global const REAL *restrict grad_y,
    __global const REAL *restrict grad_s,
    __global REAL *restrict grad_m,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int i = id / L;
        const int l = id % L;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += exp(a[(i * C + c) * L + l] - m[i * L + l]) * grad_y[(i * C + c) * L + l];
        }
        grad_m[id] = -sum0 / s[i * L + l] - grad_s[i * L + l] * s[i * L + l];
    }
}

// grad_a[i, c, l] = exp(a[i, c, l] - m[i, l])*grad_s[i, l] + exp(a[i, c, l] - m[i, l])*grad_y[i,
//     c, l]/s[i, l] + [m_argmax[i, l] = c] grad_m[i, l]
__kernel void softmax_grad_a(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const REAL *restrict s,
    __global const int *restrict m_argmax,
    __global const REAL *restrict grad_y,
    __global const REAL *restrict grad_s,
    __global const REAL *restrict grad_m,
    __global REAL *restrict grad_a,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < C * L * M) {
        const int i = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        REAL sum0 = 0;
        if (m_argmax[i * L + l] == c) {
            sum0 += grad_m[i * L + l];
        }
        grad_a[id] = sum0 + exp(a[(i * C + c) * L + l] - m[i * L + l]) * grad_s[i * L + l] + exp(a[(i * C + c) * L + l] - m[i * L + l]) * grad_y[(i * C + c) * L + l] / s[i * L + l];
    }
}
