// leaky_relu_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 a17c87d322d20271ac5cf724df65abe920c4769ab2f565503216cd5dc11a539d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of leaky_relu. T elements. The derivative at 0 is slope.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = (slope*zbar[i] if Y[i] <= 0; zbar[i] otherwise)
__kernel void leaky_relu_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    const REAL slope,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (Y[i] <= (REAL)0 ? slope * zbar[i] : zbar[i]);
    }
}

// grad_zbar[i] = (slope*grad_Ybar[i] if Y[i] <= 0; grad_Ybar[i] otherwise)
__kernel void leaky_relu_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    const REAL slope,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (Y[i] <= (REAL)0 ? slope * grad_Ybar[i] : grad_Ybar[i]);
    }
}
