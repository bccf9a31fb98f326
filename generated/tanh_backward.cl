// tanh_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 9f8f51e0111e248f0e6ada8cfe5de1ecbf59495656116bb5b254aeabb545ff15
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of tanh. T elements. The hyperbolic tangent.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = (1 - tanh(Y[i])**2)*zbar[i]
__kernel void tanh_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = ((REAL)1 - tanh(Y[i]) * tanh(Y[i])) * zbar[i];
    }
}

// grad_Y[i] = -(2 - 2*tanh(Y[i])**2)*tanh(Y[i])*grad_Ybar[i]*zbar[i]
__kernel void tanh_backward_grad_Y(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global const REAL *grad_Ybar,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = -((REAL)2 - (REAL)2 * tanh(Y[i]) * tanh(Y[i])) * tanh(Y[i]) * grad_Ybar[i] * zbar[i];
    }
}

// grad_zbar[i] = (1 - tanh(Y[i])**2)*grad_Ybar[i]
__kernel void tanh_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = ((REAL)1 - tanh(Y[i]) * tanh(Y[i])) * grad_Ybar[i];
    }
}
