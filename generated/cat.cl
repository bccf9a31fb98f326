// cat: generated from its definition, do not edit.
// Certificates: proofs/, sha256 4759960870f49ea9a46e2be26e07efc0f2d3edc67c16af88c3a29b52f2e25df2
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Arrays A x H x B and A x K x B behind each other along H.
#pragma OPENCL FP_CONTRACT ON

// z[i, x, j] = R[i, x - H, j] + Y[i, x, j]
__kernel void cat_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict R,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int H = SIZE_H;
    const int K = SIZE_K;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < A * B * OH) {
        const int i = id / B / OH;
        const int x = id / B % OH;
        const int j = id % B;
        z[id] = (x < H ? Y[(i * H + x) * B + j] : 0) + (H <= x && x < H + K ? R[(i * K + (x - H)) * B + j] : 0);
    }
}

// grad_Y[i, x, j] = [x < OH] grad_z[i, x, j]
__kernel void cat_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int H = SIZE_H;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < A * B * H) {
        const int i = id / B / H;
        const int x = id / B % H;
        const int j = id % B;
        REAL sum0 = 0;
        if (x < OH) {
            sum0 += grad_z[(i * OH + x) * B + j];
        }
        grad_Y[id] = sum0;
    }
}

// grad_R[i, k, j] = [H + k < OH] grad_z[i, H + k, j]
__kernel void cat_grad_R(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_R,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int H = SIZE_H;
    const int K = SIZE_K;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < A * B * K) {
        const int i = id / B / K;
        const int k = id / B % K;
        const int j = id % B;
        REAL sum0 = 0;
        if (H + k < OH) {
            sum0 += grad_z[(i * OH + (H + k)) * B + j];
        }
        grad_R[id] = sum0;
    }
}
