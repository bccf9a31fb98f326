// bmm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 7125602b7c3d620148f0bfc4f3761cd148e3a1c6432bb7071fed1d335b2eb582
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N products of an I x K with a K x J matrix.
#pragma OPENCL FP_CONTRACT ON

// z[b, i, j] = Σ_{k<K} A[b, i, k]*B[b, k, j]
__kernel void bmm_z(
    __global const REAL *restrict A,
    __global const REAL *restrict B,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < I * J * N) {
        const int b = id / J / I;
        const int i = id / J % I;
        const int j = id % J;
        REAL sum0 = 0;
        for (int k = 0; k < K; k++) {
            sum0 += A[(b * I + i) * K + k] * B[(b * K + k) * J + j];
        }
        z[id] = sum0;
    }
}

// grad_A[b, i, k] = Σ_{j<J} B[b, k, j]*grad_z[b, i, j]
__kernel void bmm_grad_A(
    __global const REAL *restrict B,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_A,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < I * K * N) {
        const int b = id / K / I;
        const int i = id / K % I;
        const int k = id % K;
        REAL sum0 = 0;
        for (int j = 0; j < J; j++) {
            sum0 += B[(b * K + k) * J + j] * grad_z[(b * I + i) * J + j];
        }
        grad_A[id] = sum0;
    }
}

// grad_B[b, k, j] = Σ_{i<I} A[b, i, k]*grad_z[b, i, j]
__kernel void bmm_grad_B(
    __global const REAL *restrict A,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_B,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < J * K * N) {
        const int b = id / J / K;
        const int k = id / J % K;
        const int j = id % J;
        REAL sum0 = 0;
        for (int i = 0; i < I; i++) {
            sum0 += A[(b * I + i) * K + k] * grad_z[(b * I + i) * J + j];
        }
        grad_B[id] = sum0;
    }
}
