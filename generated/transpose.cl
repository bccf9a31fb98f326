// transpose: generated from its definition, do not edit.
// Certificates: proofs/, sha256 a1cee51bb9df0a4ae28e7437360e949a354ad01b853b7ba3239726c64829da16
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Axes A and B of an array I x A x J x B x K change places.
#pragma OPENCL FP_CONTRACT ON

// z[i, b, j, a, k] = Y[i, a, j, b, k]
__kernel void transpose_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int id = get_global_id(0);
    if (id < A * B * I * J * K) {
        const int i = id / K / A / J / B;
        const int b = id / K / A / J % B;
        const int j = id / K / A % J;
        const int a = id / K % A;
        const int k = id % K;
        z[id] = Y[(((i * A + a) * J + j) * B + b) * K + k];
    }
}

// grad_Y[i, a, j, b, k] = grad_z[i, b, j, a, k]
__kernel void transpose_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int id = get_global_id(0);
    if (id < A * B * I * J * K) {
        const int i = id / K / B / J / A;
        const int a = id / K / B / J % A;
        const int j = id / K / B % J;
        const int b = id / K % B;
        const int k = id % K;
        grad_Y[id] = grad_z[(((i * B + b) * J + j) * A + a) * K + k];
    }
}
