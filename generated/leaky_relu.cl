// leaky_relu: generated from its definition, do not edit.
// Certificates: proofs/, sha256 d5519a2274e9b0a43208e84cfc5da3c15e905c698442cde95c7d5b748d559e81
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. The derivative at 0 is slope.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (slope*Y[i] if Y[i] <= 0; Y[i] otherwise)
__kernel void leaky_relu_z(
    __global const REAL *Y,
    __global REAL *z,
    const REAL slope,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (Y[i] <= (REAL)0 ? slope * Y[i] : Y[i]);
    }
}

// grad_Y[i] = (slope*grad_z[i] if Y[i] <= 0; grad_z[i] otherwise)
__kernel void leaky_relu_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    const REAL slope,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (Y[i] <= (REAL)0 ? slope * grad_z[i] : grad_z[i]);
    }
}
