// gelu_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 9862800eb7da29c0f1313e273eee02dce77368e141d76f993ba6bcf8d7a94912
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of gelu. T elements. Y times the normal distribution's function: Hendrycks, Gimpel 2016.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = (erf(sqrt(2)*Y[i]/2)/2 + 1/2 + sqrt(2)*exp(-Y[i]**2/2)*Y[i]/(2*sqrt(pi)))*zbar[i]
__kernel void gelu_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (erf(sqrt((REAL)2) * Y[i] / (REAL)2) / (REAL)2 + (REAL)1 / (REAL)2 + sqrt((REAL)2) * exp(-Y[i] * Y[i] / (REAL)2) * Y[i] / ((REAL)2 * sqrt((REAL)3.14159265358979323846))) * zbar[i];
    }
}

// grad_Y[i] = (sqrt(2)*exp(-Y[i]**2/2)/sqrt(pi) -
//     sqrt(2)*exp(-Y[i]**2/2)*Y[i]**2/(2*sqrt(pi)))*grad_Ybar[i]*zbar[i]
__kernel void gelu_backward_grad_Y(
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
        grad_Y[id] = (sqrt((REAL)2) * exp(-Y[i] * Y[i] / (REAL)2) / sqrt((REAL)3.14159265358979323846) - sqrt((REAL)2) * exp(-Y[i] * Y[i] / (REAL)2) * Y[i] * Y[i] / ((REAL)2 * sqrt((REAL)3.14159265358979323846))) * grad_Ybar[i] * zbar[i];
    }
}

// grad_zbar[i] = (erf(sqrt(2)*Y[i]/2)/2 + 1/2 +
//     sqrt(2)*exp(-Y[i]**2/2)*Y[i]/(2*sqrt(pi)))*grad_Ybar[i]
__kernel void gelu_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (erf(sqrt((REAL)2) * Y[i] / (REAL)2) / (REAL)2 + (REAL)1 / (REAL)2 + sqrt((REAL)2) * exp(-Y[i] * Y[i] / (REAL)2) * Y[i] / ((REAL)2 * sqrt((REAL)3.14159265358979323846))) * grad_Ybar[i];
    }
}
