// pad_replicate: generated from its definition, do not edit.
// Certificates: proofs/, sha256 d50feb74f9eb7690a51bbcd8fe167833eaff43486a20be6e3adca31dce6dfb84
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along H of an array A x H x B; PT elements before and PB behind.
#pragma OPENCL FP_CONTRACT ON

// z[i, x, j] = [H + PT ≤ x] Y[i, H - 1, j] + [x < PT] Y[i, 0, j] + [PT ≤ x] [x < H + PT] Y[i, x -
//     PT, j]
__kernel void pad_replicate_z(
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
        if (H + PT <= x) {
            sum0 += Y[(i * H + (H - 1)) * B + j];
        }
        REAL sum1 = 0;
        if (x < PT) {
            sum1 += Y[(i * H + 0) * B + j];
        }
        REAL sum2 = 0;
        if (PT <= x && x < H + PT) {
            sum2 += Y[(i * H + (x - PT)) * B + j];
        }
        z[id] = sum0 + sum1 + sum2;
    }
}

// grad_Y[i, u, j] = [PT + u < OH] grad_z[i, PT + u, j] + Σ_{x<OH} [H + PT ≤ x] [H = u + 1]
//     grad_z[i, x, j] + Σ_{x<OH} [x < PT] [0 = u] grad_z[i, x, j]
__kernel void pad_replicate_grad_Y(
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
        if (H == u + 1) {
            for (int x = 0; x < OH; x++) {
                if (H + PT <= x) {
                    sum1 += grad_z[(i * OH + x) * B + j];
                }
            }
        }
        REAL sum2 = 0;
        if (0 == u) {
            for (int x = 0; x < OH; x++) {
                if (x < PT) {
                    sum2 += grad_z[(i * OH + x) * B + j];
                }
            }
        }
        grad_Y[id] = sum0 + sum1 + sum2;
    }
}
