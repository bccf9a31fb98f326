// slice_axis: generated from its definition, do not edit.
// Certificates: proofs/, sha256 cc7df11716cccf64a8ada1dfbe9216259f09bf04c0141da4c779d2681624a787
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// X elements F, F + S, F + 2*S, ... along H of an array A x H x B.
#pragma OPENCL FP_CONTRACT ON

// z[i, x, j] = Y[i, F + S*x, j]
__kernel void slice_axis_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int F = SIZE_F;
    const int H = SIZE_H;
    const int S = SIZE_S;
    const int X = SIZE_X;
    const int id = get_global_id(0);
    if (id < A * B * X) {
        const int i = id / B / X;
        const int x = id / B % X;
        const int j = id % B;
        z[id] = Y[(i * H + (F + S * x)) * B + j];
    }
}

// grad_Y[i, u, j] = [F ≤ u] [S divides u - F] [⌊(u - F)/S⌋ < X] grad_z[i, ⌊(u - F)/S⌋, j]
__kernel void slice_axis_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int F = SIZE_F;
    const int H = SIZE_H;
    const int S = SIZE_S;
    const int X = SIZE_X;
    const int id = get_global_id(0);
    if (id < A * B * H) {
        const int i = id / B / H;
        const int u = id / B % H;
        const int j = id % B;
        REAL sum0 = 0;
        if (F <= u && (u - F) % S == 0) {
            const int sum0_q0 = (u - F) / S;
            if (sum0_q0 < X) {
                sum0 += grad_z[(i * X + sum0_q0) * B + j];
            }
        }
        grad_Y[id] = sum0;
    }
}
