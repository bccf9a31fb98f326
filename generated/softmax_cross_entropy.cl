// softmax_cross_entropy: generated from its definition, do not edit.
// Certificates: proofs/, sha256 3e1addfdada405e5658673d24ea70174bce5a5e08ce7159b22ca12fecb71432c
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, C classes, label t[n]; divisor is N for the mean and 1 for the sum.
#pragma OPENCL FP_CONTRACT ON

// m[n] = max_{c<C} a[n, c]
__kernel void softmax_cross_entropy_m(
    __global const REAL *restrict a,
    __global REAL *restrict m,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL max0 = -INFINITY;
        for (int c = 0; c < C; c++) {
            const REAL term = a[n * C + c];
            if (term > max0 || term != term) {
                max0 = term;
            }
        }
        m[id] = max0;
    }
}

// s[n] = Σ_{c<C} exp(a[n, c] - m[n])
__kernel void softmax_cross_entropy_s(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global REAL *restrict s,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += exp(a[n * C + c] - m[n]);
        }
        s[id] = sum0;
    }
}

// d[n] = a[n, t[n]] - m[n]
__kernel void softmax_cross_entropy_d(
    __global const REAL *restrict a,
    __global const int *restrict t,
    __global const REAL *restrict m,
    __global REAL *restrict d,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        d[id] = a[n * C + t[n]] - m[n];
    }
}

// loss = Σ_{n<N} (log(s[n]) - d[n])/divisor
__kernel void softmax_cross_entropy_loss(
    __global const REAL *restrict s,
    __global const REAL *restrict d,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += log(s[n]) - d[n];
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_d[n] = -grad_loss/divisor
__kernel void softmax_cross_entropy_grad_d(
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_d,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        grad_d[id] = -grad_loss[0] / divisor;
    }
}

// grad_s[n] = grad_loss/(divisor*s[n])
__kernel void softmax_cross_entropy_grad_s(
    __global const REAL *restrict s,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_s,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        grad_s[id] = grad_loss[0] / (divisor * s[n]);
    }
}

// grad_a[n, c] = exp(a[n, c] - m[n])*grad_s[n] + [c = t[n]] grad_d[n]
__kernel void softmax_cross_entropy_grad_a(
    __global const REAL *restrict a,
    __global const int *restrict t,
    __global const REAL *restrict m,
    __global const REAL *restrict grad_d,
    __global const REAL *restrict grad_s,
    __global REAL *restrict grad_a,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        if (c == t[n]) {
            sum0 += grad_d[n];
        }
        grad_a[id] = sum0 + exp(a[n * C + c] - m[n]) * grad_s[n];
    }
}
