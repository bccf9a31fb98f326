// tanh: generated from its definition, do not edit.
// Certificates: proofs/, sha256 188b6f89207627d0a8021be9ea49c91dcf81165474d089d13dc12f8b958a2a0c
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. The hyperbolic tangent.
#pragma OPENCL FP_CONTRACT ON

// z[i] = tanh(Y[i])
__kernel void tanh_z(
    __global const REAL *Y,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = tanh(Y[i]);
    }
}

// grad_Y[i] = (1 - tanh(Y[i])**2)*grad_z[i]
__kernel void tanh_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = ((REAL)1 - tanh(Y[i]) * tanh(Y[i])) * grad_z[i];
    }
}
