// pad_constant: generated from its definition, do not edit.
// Certificates: proofs/, sha256 938ead70d5c6a489bf6d878277f01d2d9f319b95288105ca15d119f2a97e506f
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along H of an array A x H x B; PT elements before and PB behind.
#pragma OPENCL FP_CONTRACT ON

// z[i, x, j] = [PT ≤ x] [x < H + PT] Y[i, x - PT, j] + Σ_{u<1} [H + PT ≤ x] value + Σ_{u<1} [x <
//     PT] value
__kernel void pad_constant_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    const REAL value,
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
        if (H + PT <= x) {
            for (int u = 0; u < 1; u++) {
                sum1 += value;
            }
        }
        REAL sum2 = 0;
        if (x < PT) {
            for (int u = 0; u < 1; u++) {
                sum2 += value;
            }
        }
        z[id] = sum0 + sum1 + sum2;
    }
}

// grad_Y[i, u, j] = [0 ≤ PT + u] [PT + u < OH] grad_z[i, PT + u, j]
__kernel void pad_constant_grad_Y(
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
        if (0 <= PT + u && PT + u < OH) {
            sum0 += grad_z[(i * OH + (PT + u)) * B + j];
        }
        grad_Y[id] = sum0;
    }
}
