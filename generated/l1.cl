// l1: generated from its definition, do not edit.
// Certificates: proofs/, sha256 c012a5971d2322a851da717b4b958c579524edc4cdebae1325c159ad6afdf6c6
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements; divisor is T for the mean and 1 for the sum. The derivative at a = t is 0.
#pragma OPENCL FP_CONTRACT ON

// loss = Σ_{i<T} (t[i] - a[i] if a[i] < t[i]; (a[i] - t[i] if a[i] > t[i]; 0 otherwise)
//     otherwise)/divisor
__kernel void l1_loss(
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
            sum0 += (a[i] < t[i] ? t[i] - a[i] : (a[i] > t[i] ? a[i] - t[i] : (REAL)0));
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_a[i] = (-grad_loss/divisor if a[i] < t[i]; grad_loss/divisor if a[i] > t[i]; 0 otherwise)
__kernel void l1_grad_a(
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
        grad_a[id] = (a[i] < t[i] ? -grad_loss[0] / divisor : (a[i] > t[i] ? grad_loss[0] / divisor : (REAL)0));
    }
}

// grad_t[i] = (grad_loss/divisor if a[i] < t[i]; -grad_loss/divisor if a[i] > t[i]; 0 otherwise)
__kernel void l1_grad_t(
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
        grad_t[id] = (a[i] < t[i] ? grad_loss[0] / divisor : (a[i] > t[i] ? -grad_loss[0] / divisor : (REAL)0));
    }
}
