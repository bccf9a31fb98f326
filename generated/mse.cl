// mse: generated from its definition, do not edit.
// Certificates: proofs/, sha256 6131710fc9d279e8cd8ae477f0253bc4a3f79d02247dd54b1fdd9923d3092ff5
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements; divisor is T for the mean and 1 for the sum.
#pragma OPENCL FP_CONTRACT ON

// loss = Σ_{i<T} (a[i] - t[i])**2/divisor
__kernel void mse_loss(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int i = 0; i < T; i++) {
            sum0 += (a[i] - t[i]) * (a[i] - t[i]);
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_a[i] = (2*a[i] - 2*t[i])*grad_loss/divisor
__kernel void mse_grad_a(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_a,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_a[id] = ((REAL)2 * a[i] - (REAL)2 * t[i]) * grad_loss[0] / divisor;
    }
}

// grad_t[i] = (2*t[i] - 2*a[i])*grad_loss/divisor
__kernel void mse_grad_t(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_t,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_t[id] = ((REAL)2 * t[i] - (REAL)2 * a[i]) * grad_loss[0] / divisor;
    }
}
