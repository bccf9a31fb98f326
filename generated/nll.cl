// nll: generated from its definition, do not edit.
// Certificates: proofs/, sha256 5e427c7125fafa63954e43a47caf926660bc98563dc2c79d4d66c1e2833c2422
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, C classes, label t[n]; mean is 1 for the weighted mean and 0 for the sum.
#pragma OPENCL FP_CONTRACT ON

// mass[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] w[t[n]] otherwise)
__kernel void nll_mass(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global REAL *restrict mass,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        if (0 <= t[n] && t[n] < C) {
            sum0 += w[t[n]];
        }
        mass[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// hard[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] w[t[n]]*a[n, t[n]] otherwise)
__kernel void nll_hard(
    __global const REAL *restrict a,
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global REAL *restrict hard,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        if (0 <= t[n] && t[n] < C) {
            sum0 += w[t[n]] * a[n * C + t[n]];
        }
        hard[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// weights = Σ_{n<N} mass[n]
__kernel void nll_weights(
    __global const REAL *restrict mass,
    __global REAL *restrict weights,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += mass[n];
        }
        weights[id] = sum0;
    }
}

// loss = -Σ_{n<N} hard[n]/(mean*weights + 1 - mean)
__kernel void nll_loss(
    __global const REAL *restrict hard,
    __global const REAL *restrict weights,
    __global REAL *restrict loss,
    const REAL mean,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += hard[n];
        }
        loss[id] = -sum0 / (mean * weights[0] + (REAL)1 - mean);
    }
}

// grad_hard[n] = -grad_loss/(mean*weights + 1 - mean)
__kernel void nll_grad_hard(
    __global const REAL *restrict weights,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_hard,
    const REAL mean,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        grad_hard[id] = -grad_loss[0] / (mean * weights[0] + (REAL)1 - mean);
    }
}

// grad_a[n, c] = [t[n] = c] (0 if Eq(ignore, t[n]); grad_hard[n]*w[c] otherwise)
__kernel void nll_grad_a(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict grad_hard,
    __global REAL *restrict grad_a,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        if (t[n] == c) {
            sum0 += (ignore == t[n] ? (REAL)0 : grad_hard[n] * w[c]);
        }
        grad_a[id] = sum0;
    }
}

// mass[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] 1 otherwise)
__kernel void nll_without_w_mass(
    __global const int *restrict t,
    __global REAL *restrict mass,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        if (0 <= t[n] && t[n] < C) {
            sum0 += (REAL)1;
        }
        mass[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// hard[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] a[n, t[n]] otherwise)
__kernel void nll_without_w_hard(
    __global const REAL *restrict a,
    __global const int *restrict t,
    __global REAL *restrict hard,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        if (0 <= t[n] && t[n] < C) {
            sum0 += a[n * C + t[n]];
        }
        hard[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// grad_a[n, c] = [t[n] = c] (0 if Eq(ignore, t[n]); grad_hard[n] otherwise)
__kernel void nll_without_w_grad_a(
    __global const int *restrict t,
    __global const REAL *restrict grad_hard,
    __global REAL *restrict grad_a,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        if (t[n] == c) {
            sum0 += (ignore == t[n] ? (REAL)0 : grad_hard[n]);
        }
        grad_a[id] = sum0;
    }
}
