// max_axis: generated from its definition, do not edit.
// Certificates: proofs/, sha256 3a575f10f68a00d8eef6ad05883879b0a0f8e946504052e3c8d87d4153b8bfa3
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along R of an array A x R x B.
#pragma OPENCL FP_CONTRACT ON

// z[i, j] = max_{r<R} Y[i, r, j]
__kernel void max_axis_z(
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
        REAL max0 = -INFINITY;
        for (int r = 0; r < R; r++) {
            const REAL term = Y[(i * R + r) * B + j];
            if (term > max0 || term != term) {
                max0 = term;
            }
        }
        z[id] = max0;
    }
}

// z_argmax[i, j] = argmax_{r<R} Y[i, r, j]
__kernel void max_axis_z_argmax(
    __global const REAL *restrict Y,
    __global int *restrict z_argmax,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int R = SIZE_R;
    const int id = get_global_id(0);
    if (id < A * B) {
        const int i = id / B;
        const int j = id % B;
        int argmax0 = -1;
        REAL argmax0_value = -INFINITY;
        for (int r = 0; r < R; r++) {
            const REAL term = Y[(i * R + r) * B + j];
            if (argmax0 < 0 || term > argmax0_value || (term != term && argmax0_value == argmax0_value)) {
                argmax0_value = term;
                argmax0 = r;
            }
        }
        z_argmax[id] = argmax0;
    }
}

// grad_Y[i, r, j] = [z_argmax[i, j] = r] grad_z[i, j]
__kernel void max_axis_grad_Y(
    __global const int *restrict z_argmax,
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
        REAL sum0 = 0;
        if (z_argmax[i * B + j] == r) {
            sum0 += grad_z[i * B + j];
        }
        grad_Y[id] = sum0;
    }
}
