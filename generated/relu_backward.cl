// relu_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 369c11066f5c50d6be5efaf8c18df623cd82d7f6fbe68eebe7a454af2122f52d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of relu. T elements.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = (0 if Y[i] <= 0; zbar[i] otherwise)
__kernel void relu_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (Y[i] <= (REAL)0 ? (REAL)0 : zbar[i]);
    }
}

// grad_zbar[i] = (0 if Y[i] <= 0; grad_Ybar[i] otherwise)
__kernel void relu_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (Y[i] <= (REAL)0 ? (REAL)0 : grad_Ybar[i]);
    }
}
