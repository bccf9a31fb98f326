// embedding_padding: generated from its definition, do not edit.
// Certificates: proofs/, sha256 93a7c9053a15cf34232103a7bbe5d2514c7b7534bbfbd53035a715a02e978423
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// As embedding; p is w again, so that the row `padding` gets no gradient.
#pragma OPENCL FP_CONTRACT ON

// z[n, k] = (p[t[n], k] if Eq(padding, t[n]); w[t[n], k] otherwise)
__kernel void embedding_padding_z(
    __global const REAL *restrict w,
    __global const REAL *restrict p,
    __global const int *restrict t,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int V = SIZE_V;
    const int padding = SIZE_padding;
    const int id = get_global_id(0);
    if (id < K * N) {
        const int n = id / K;
        const int k = id % K;
        z[id] = (padding == t[n] ? p[(t[n]) * K + k] : w[(t[n]) * K + k]);
    }
}

// grad_w[v, k] = Σ_{n<N} [v = t[n]] (0 if Eq(padding, t[n]); grad_z[n, k] otherwise)
__kernel void embedding_padding_grad_w(
    __global const int *restrict t,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int V = SIZE_V;
    const int padding = SIZE_padding;
    const int id = get_global_id(0);
    if (id < K * V) {
        const int v = id / K;
        const int k = id % K;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            if (v == t[n]) {
                sum0 += (padding == t[n] ? (REAL)0 : grad_z[n * K + k]);
            }
        }
        grad_w[id] = sum0;
    }
}
