// relu: generated from its definition, do not edit.
// Certificates: proofs/, sha256 df53a906aa89a054bf7a0168a8c8377a5fab2a1f10ea9285632dd088179d6bc2
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (0 if Y[i] <= 0; Y[i] otherwise)
__kernel void relu_z(
    __global const REAL *Y,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (Y[i] <= (REAL)0 ? (REAL)0 : Y[i]);
    }
}

// grad_Y[i] = (0 if Y[i] <= 0; grad_z[i] otherwise)
__kernel void relu_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (Y[i] <= (REAL)0 ? (REAL)0 : grad_z[i]);
    }
}
