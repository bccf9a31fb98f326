// pad_reflect: generated from its definition, do not edit.
// Certificates: proofs/, sha256 6aa6111e9c7e0e27cb2a06d720ccb5fe88b8e5dc0c1002d008ba5d59a281fcec
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along H of an array A x H x B; PT elements before and PB behind. The edge itself is not repeated.
#pragma OPENCL FP_CONTRACT ON

// z[i, x, j] = [PT ≤ x] [x < H + PT] Y[i, x - PT, j] + [H + PT ≤ x] [x + 1 < 2*H + PT] Y[i, 2*H +
//     PT - x - 2, j] + [x < PT] [PT < H + x] Y[i, PT - x, j]
__kernel void pad_reflect_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int H = SIZE_H;
    const int PT = SIZE_PT;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < A * B * OH) {
        const int i = id / B / OH;
        const int x = id / B % OH;
        const int j = id % B;
        REAL sum0 = 0;
        if (PT <= x && x < H + PT) {
            sum0 += Y[(i * H + (x - PT)) * B + j];
        }
        REAL sum1 = 0;
        if (H + PT <= x && x + 1 < 2 * H + PT) {
            sum1 += Y[(i * H + (2 * H + PT - x - 2)) * B + j];
        }
        REAL sum2 = 0;
        if (x < PT && PT < H + x) {
            sum2 += Y[(i * H + (PT - x)) * B + j];
        }
        z[id] = sum0 + sum1 + sum2;
    }
}

// grad_Y[i, u, j] = [PT + u < OH] grad_z[i, PT + u, j] + [u + 1 < H] [2*H + PT ≤ OH + u + 1]
//     grad_z[i, 2*H + PT - u - 2, j] + [1 ≤ u] [u ≤ PT] [PT < OH + u] grad_z[i, PT - u, j]
__kernel void pad_reflect_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int H = SIZE_H;
    const int PT = SIZE_PT;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < A * B * H) {
        const int i = id / B / H;
        const int u = id / B % H;
        const int j = id % B;
        REAL sum0 = 0;
        if (PT + u < OH) {
            sum0 += grad_z[(i * OH + (PT + u)) * B + j];
        }
        REAL sum1 = 0;
        if (u + 1 < H && 2 * H + PT <= OH + u + 1) {
            sum1 += grad_z[(i * OH + (2 * H + PT - u - 2)) * B + j];
        }
        REAL sum2 = 0;
        if (1 <= u && u <= PT && PT < OH + u) {
            sum2 += grad_z[(i * OH + (PT - u)) * B + j];
        }
        grad_Y[id] = sum0 + sum1 + sum2;
    }
}
