// sum_axis: generated from its definition, do not edit.
// Certificates: proofs/, sha256 305d190af79e5c81f29e9e2c462fcf85c11f15f23ff396e8dd5ddc20b943d7ab
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along R of an array A x R x B.
#pragma OPENCL FP_CONTRACT ON

// z[i, j] = Σ_{r<R} Y[i, r, j]
__kernel void sum_axis_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int R = SIZE_R;
    const int id = get_global_id(0);
    if (id < A * B) {
        const int i = id / B;
        const int j = id % B;
        REAL sum0 = 0;
        for (int r = 0; r < R; r++) {
            sum0 += Y[(i * R + r) * B + j];
        }
        z[id] = sum0;
    }
}

// grad_Y[i, r, j] = grad_z[i, j]
__kernel void sum_axis_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int R = SIZE_R;
    const int id = get_global_id(0);
    if (id < A * B * R) {
        const int i = id / B / R;
        const int r = id / B % R;
        const int j = id % B;
        grad_Y[id] = grad_z[i * B + j];
    }
}
