// embedding: generated from its definition, do not edit.
// Certificates: proofs/, sha256 f8aff305105e463ce8f6b0a157e84b1474d98103d768db9f1348f7fea275f5b9
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Row t[n] of V rows of K elements, for N labels.
#pragma OPENCL FP_CONTRACT ON

// z[n, k] = w[t[n], k]
__kernel void embedding_z(
    __global const REAL *restrict w,
    __global const int *restrict t,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int V = SIZE_V;
    const int id = get_global_id(0);
    if (id < K * N) {
        const int n = id / K;
        const int k = id % K;
        z[id] = w[(t[n]) * K + k];
    }
}

// grad_w[v, k] = Σ_{n<N} [v = t[n]] grad_z[n, k]
__kernel void embedding_grad_w(
    __global const int *restrict t,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int V = SIZE_V;
    const int id = get_global_id(0);
    if (id < K * V) {
        const int v = id / K;
        const int k = id % K;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            if (v == t[n]) {
                sum0 += grad_z[n * K + k];
            }
        }
        grad_w[id] = sum0;
    }
}
