// linear_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 6cca7224cf616c41394ffcbec0f77d460da5ca80676ae36b1d5fae35d9003241
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of linear. N samples, K input features, O output features.
#pragma OPENCL FP_CONTRACT ON

// Ybar[n, k] = Σ_{o<O} w[o, k]*zbar[n, o]
__kernel void linear_backward_Ybar(
    __global const REAL *restrict w,
    __global const REAL *restrict zbar,
    __global REAL *restrict Ybar,
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
            sum0 += w[o * K + k] * zbar[n * O + o];
        }
        Ybar[id] = sum0;
    }
}

// wbar[o, k] = Σ_{n<N} Y[n, k]*zbar[n, o]
__kernel void linear_backward_wbar(
    __global const REAL *restrict Y,
    __global const REAL *restrict zbar,
    __global REAL *restrict wbar,
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
            sum0 += Y[n * K + k] * zbar[n * O + o];
        }
        wbar[id] = sum0;
    }
}

// bbar[o] = Σ_{n<N} zbar[n, o]
__kernel void linear_backward_bbar(
    __global const REAL *restrict zbar,
    __global REAL *restrict bbar,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int id = get_global_id(0);
    if (id < O) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            sum0 += zbar[n * O + o];
        }
        bbar[id] = sum0;
    }
}

// grad_Y[n, k] = Σ_{o<O} grad_wbar[o, k]*zbar[n, o]
__kernel void linear_backward_grad_Y(
    __global const REAL *restrict zbar,
    __global const REAL *restrict grad_wbar,
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
            sum0 += grad_wbar[o * K + k] * zbar[n * O + o];
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[o, k] = Σ_{n<N} grad_Ybar[n, k]*zbar[n, o]
__kernel void linear_backward_grad_w(
    __global const REAL *restrict zbar,
    __global const REAL *restrict grad_Ybar,
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
            sum0 += grad_Ybar[n * K + k] * zbar[n * O + o];
        }
        grad_w[id] = sum0;
    }
}

// grad_zbar[n, o] = grad_bbar[o] + Σ_{k<K} Y[n, k]*grad_wbar[o, k] + Σ_{k<K} grad_Ybar[n, k]*w[o,
//     k]
__kernel void linear_backward_grad_zbar(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict grad_Ybar,
    __global const REAL *restrict grad_wbar,
    __global const REAL *restrict grad_bbar,
    __global REAL *restrict grad_zbar,
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
            sum0 += Y[n * K + k] * grad_wbar[o * K + k];
        }
        REAL sum1 = 0;
        for (int k = 0; k < K; k++) {
            sum1 += grad_Ybar[n * K + k] * w[o * K + k];
        }
        grad_zbar[id] = sum0 + sum1 + grad_bbar[o];
    }
}
