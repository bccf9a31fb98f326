// cross_entropy: generated from its definition, do not edit.
// Certificates: proofs/, sha256 585b1210b18b51b5376286b900d4a71c92da59817ee4a66340745bb3c2b71e54
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, C classes, label t[n]; mean is 1 for the weighted mean and 0 for the sum.
#pragma OPENCL FP_CONTRACT ON

// m[n] = max_{c<C} a[n, c]
__kernel void cross_entropy_m(
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

// m_argmax[n] = argmax_{c<C} a[n, c]
__kernel void cross_entropy_m_argmax(
    __global const REAL *restrict a,
    __global int *restrict m_argmax,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        int argmax0 = -1;
        REAL argmax0_value = -INFINITY;
        for (int c = 0; c < C; c++) {
            const REAL term = a[n * C + c];
            if (argmax0 < 0 || term > argmax0_value || (term != term && argmax0_value == argmax0_value)) {
                argmax0_value = term;
                argmax0 = c;
            }
        }
        m_argmax[id] = argmax0;
    }
}

// s[n] = Σ_{c<C} exp(a[n, c] - m[n])
__kernel void cross_entropy_s(
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

// d[n, c] = log(s[n]) + m[n] - a[n, c]
__kernel void cross_entropy_d(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const REAL *restrict s,
    __global REAL *restrict d,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        d[id] = log(s[n]) + m[n] - a[n * C + c];
    }
}

// mass[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] w[t[n]] otherwise)
__kernel void cross_entropy_mass(
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

// hard[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] w[t[n]]*d[n, t[n]] otherwise)
__kernel void cross_entropy_hard(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict d,
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
            sum0 += w[t[n]] * d[n * C + t[n]];
        }
        hard[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// soft[n] = (0 if Eq(ignore, t[n]); Σ_{c<C} w[c]*d[n, c]/C otherwise)
__kernel void cross_entropy_soft(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict d,
    __global REAL *restrict soft,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += w[c] * d[n * C + c];
        }
        soft[id] = (ignore == t[n] ? (REAL)0 : sum0 / (REAL)C);
    }
}

// weights = Σ_{n<N} mass[n]
__kernel void cross_entropy_weights(
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

// loss = Σ_{n<N} (smoothing*soft[n] + (1 - smoothing)*hard[n])/(mean*weights + 1 - mean)
__kernel void cross_entropy_loss(
    __global const REAL *restrict hard,
    __global const REAL *restrict soft,
    __global const REAL *restrict weights,
    __global REAL *restrict loss,
    const REAL smoothing,
    const REAL mean,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += smoothing * soft[n] + ((REAL)1 - smoothing) * hard[n];
        }
        loss[id] = sum0 / (mean * weights[0] + (REAL)1 - mean);
    }
}

// grad_soft[n] = smoothing*grad_loss/(mean*weights + 1 - mean)
__kernel void cross_entropy_grad_soft(
    __global const REAL *restrict weights,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_soft,
    const REAL smoothing,
    const REAL mean,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        grad_soft[id] = smoothing * grad_loss[0] / (mean * weights[0] + (REAL)1 - mean);
    }
}

// grad_hard[n] = (1 - smoothing)*grad_loss/(mean*weights + 1 - mean)
__kernel void cross_entropy_grad_hard(
    __global const REAL *restrict weights,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_hard,
    const REAL smoothing,
    const REAL mean,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        grad_hard[id] = ((REAL)1 - smoothing) * grad_loss[0] / (mean * weights[0] + (REAL)1 - mean);
    }
}

// grad_d[n, c] = (0 if Eq(ignore, t[n]); grad_soft[n]*w[c]/C otherwise) + [t[n] = c] (0 if
//     Eq(ignore, t[n]); grad_hard[n]*w[c] otherwise)
__kernel void cross_entropy_grad_d(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict grad_soft,
    __global const REAL *restrict grad_hard,
    __global REAL *restrict grad_d,
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
        grad_d[id] = sum0 + (ignore == t[n] ? (REAL)0 : grad_soft[n] * w[c] / (REAL)C);
    }
}

// grad_s[n] = Σ_{c<C} grad_d[n, c]/s[n]
__kernel void cross_entropy_grad_s(
    __global const REAL *restrict s,
    __global const REAL *restrict grad_d,
    __global REAL *restrict grad_s,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += grad_d[n * C + c];
        }
        grad_s[id] = sum0 / s[n];
    }
}

// grad_m[n] = Σ_{c<C} grad_d[n, c] - grad_s[n]*s[n]
__kernel void cross_entropy_grad_m(
    __global const REAL *restrict s,
    __global const REAL *restrict grad_d,
    __global const REAL *restrict grad_s,
    __global REAL *restrict grad_m,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += grad_d[n * C + c];
        }
        grad_m[id] = sum0 - grad_s[n] * s[n];
    }
}

// grad_a[n, c] = exp(a[n, c] - m[n])*grad_s[n] + [m_argmax[n] = c] grad_m[n] - grad_d[n, c]
__kernel void cross_entropy_grad_a(
    __global const REAL *restrict a,
    __global const REAL *restrict m,
    __global const int *restrict m_argmax,
    __global const REAL *restrict grad_d,
    __global const REAL *restrict grad_s,
    __global const REAL *restrict grad_m,
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
        if (m_argmax[n] == c) {
            sum0 += grad_m[n];
        }
        grad_a[id] = sum0 + exp(a[n * C + c] - m[n]) * grad_s[n] - grad_d[n * C + c];
    }
}

// mass[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] 1 otherwise)
__kernel void cross_entropy_without_w_mass(
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

// hard[n] = (0 if Eq(ignore, t[n]); [0 ≤ t[n]] [t[n] < C] d[n, t[n]] otherwise)
__kernel void cross_entropy_without_w_hard(
    __global const int *restrict t,
    __global const REAL *restrict d,
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
            sum0 += d[n * C + t[n]];
        }
        hard[id] = (ignore == t[n] ? (REAL)0 : sum0);
    }
}

// soft[n] = (0 if Eq(ignore, t[n]); Σ_{c<C} d[n, c]/C otherwise)
__kernel void cross_entropy_without_w_soft(
    __global const int *restrict t,
    __global const REAL *restrict d,
    __global REAL *restrict soft,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int id = get_global_id(0);
    if (id < N) {
        const int n = id;
        REAL sum0 = 0;
        for (int c = 0; c < C; c++) {
            sum0 += d[n * C + c];
        }
        soft[id] = (ignore == t[n] ? (REAL)0 : sum0 / (REAL)C);
    }
}

// grad_d[n, c] = (0 if Eq(ignore, t[n]); grad_soft[n]/C otherwise) + [t[n] = c] (0 if Eq(ignore,
//     t[n]); grad_hard[n] otherwise)
__kernel void cross_entropy_without_w_grad_d(
    __global const int *restrict t,
    __global const REAL *restrict grad_soft,
    __global const REAL *restrict grad_hard,
    __global REAL *restrict grad_d,
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
        grad_d[id] = sum0 + (ignore == t[n] ? (REAL)0 : grad_soft[n] / (REAL)C);
    }
}
