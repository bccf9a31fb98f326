// local_response_norm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 14d14070b538b8fafad9d20c782ab4098de06c415549ce110fc115bfee9ace7e
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N images, C channels, L positions; each sees K channels, from P before it on. s**-beta.
#pragma OPENCL FP_CONTRACT ON

// s[n, c, l] = k + alpha*Σ_{j<K} Y[n, c + j - P, l]**2/K
__kernel void local_response_norm_s(
    __global const REAL *restrict Y,
    __global REAL *restrict s,
    const REAL alpha,
    const REAL k,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int P = SIZE_P;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        REAL sum0 = 0;
        for (int j = 0; j < K; j++) {
            const int sum0_u0 = c + j - P;
            if (0 <= sum0_u0 && sum0_u0 < C) {
                sum0 += Y[(n * C + sum0_u0) * L + l] * Y[(n * C + sum0_u0) * L + l];
            }
        }
        s[id] = k + alpha * sum0 / (REAL)K;
    }
}

// z[n, c, l] = exp(-beta*log(s[n, c, l]))*Y[n, c, l]
__kernel void local_response_norm_z(
    __global const REAL *Y,
    __global const REAL *s,
    __global REAL *z,
    const REAL beta,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        z[id] = exp(-beta * log(s[(n * C + c) * L + l])) * Y[(n * C + c) * L + l];
    }
}

// grad_s[n, c, l] = -beta*exp(-beta*log(s[n, c, l]))*Y[n, c, l]*grad_z[n, c, l]/s[n, c, l]
__kernel void local_response_norm_grad_s(
    __global const REAL *Y,
    __global const REAL *s,
    __global const REAL *grad_z,
    __global REAL *grad_s,
    const REAL beta,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        grad_s[id] = -beta * exp(-beta * log(s[(n * C + c) * L + l])) * Y[(n * C + c) * L + l] * grad_z[(n * C + c) * L + l] / s[(n * C + c) * L + l];
    }
}

// grad_Y[n, u, l] = exp(-beta*log(s[n, u, l]))*grad_z[n, u, l] + 2*alpha*Y[n, u, l]*Σ_{j<K} [j ≤ P
//     + u] [P + u < C + j] grad_s[n, P + u - j, l]/K
__kernel void local_response_norm_grad_Y(
    __global const REAL *restrict Y,
    __global const REAL *restrict s,
    __global const REAL *restrict grad_z,
    __global const REAL *restrict grad_s,
    __global REAL *restrict grad_Y,
    const REAL alpha,
    const REAL beta,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int P = SIZE_P;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int u = id / L % C;
        const int l = id % L;
        REAL sum0 = 0;
        for (int j = 0; j < K; j++) {
            if (j <= P + u && P + u < C + j) {
                sum0 += grad_s[(n * C + (P + u - j)) * L + l];
            }
        }
        grad_Y[id] = exp(-beta * log(s[(n * C + u) * L + l])) * grad_z[(n * C + u) * L + l] + (REAL)2 * alpha * sum0 * Y[(n * C + u) * L + l] / (REAL)K;
    }
}
