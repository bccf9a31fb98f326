// linear: generated from its definition, do not edit.
// Certificates: proofs/, sha256 4cb2a211dd1d165e2d425cc58ee159c9bef9b0c9d24f9bf570b1f65509466271
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, K input features, O output features.
#pragma OPENCL FP_CONTRACT ON

// z[n, o] = b[o] + Σ_{k<K} Y[n, k]*w[o, k]
__kernel void linear_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < N * O) {
        const int n = id / O;
        const int o = id % O;
        REAL sum0 = 0;
        for (int k = 0; k < K; k++) {
            sum0 += Y[n * K + k] * w[o * K + k];
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k] = Σ_{o<O} grad_z[n, o]*w[o, k]
__kernel void linear_grad_Y(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < K * N) {
        const int n = id / K;
        const int k = id % K;
        REAL sum0 = 0;
        for (int o = 0; o < O; o++) {
            sum0 += grad_z[n * O + o] * w[o * K + k];
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[o, k] = Σ_{n<N} Y[n, k]*grad_z[n, o]
__kernel void linear_grad_w(
    __global const REAL *restrict Y,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < K * O) {
        const int o = id / K;
        const int k = id % K;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += Y[n * K + k] * grad_z[n * O + o];
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N} grad_z[n, o]
__kernel void linear_grad_b(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_b,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < O) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += grad_z[n * O + o];
        }
        grad_b[id] = sum0;
    }
}

// z[n, o] = Σ_{k<K} Y[n, k]*w[o, k]
__kernel void linear_without_b_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < N * O) {
        const int n = id / O;
        const int o = id % O;
        REAL sum0 = 0;
        for (int k = 0; k < K; k++) {
            sum0 += Y[n * K + k] * w[o * K + k];
        }
        z[id] = sum0;
    }
}
