// silu_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 1a2dd4f2e7f60bcf3c89b448ffb39e28caae915ea2a634cd37234666ebaa68a1
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of silu. T elements. Y times sigmoid(Y): Elfwing, Uchibe, Doya 2017.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = ((exp(Y[i])*Y[i]/(exp(Y[i]) + 1) + exp(Y[i])/(exp(Y[i]) + 1) -
//     exp(2*Y[i])*Y[i]/(exp(Y[i]) + 1)**2)*zbar[i] if Y[i] < 0; (1/(1 + exp(-Y[i])) +
//     exp(-Y[i])*Y[i]/(1 + exp(-Y[i]))**2)*zbar[i] otherwise)
__kernel void silu_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (Y[i] < (REAL)0 ? (exp(Y[i]) * Y[i] / (exp(Y[i]) + (REAL)1) + exp(Y[i]) / (exp(Y[i]) + (REAL)1) - exp((REAL)2 * Y[i]) * Y[i] / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1))) * zbar[i] : ((REAL)1 / ((REAL)1 + exp(-Y[i])) + exp(-Y[i]) * Y[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i])))) * zbar[i]);
    }
}

// grad_Y[i] = ((exp(Y[i])*Y[i]/(exp(Y[i]) + 1) + 2*exp(Y[i])/(exp(Y[i]) + 1) +
//     2*exp(3*Y[i])*Y[i]/(exp(Y[i]) + 1)**3 - 3*exp(2*Y[i])*Y[i]/(exp(Y[i]) + 1)**2 -
//     2*exp(2*Y[i])/(exp(Y[i]) + 1)**2)*grad_Ybar[i]*zbar[i] if Y[i] < 0; (2*exp(-Y[i])/(1 +
//     exp(-Y[i]))**2 + 2*exp(-2*Y[i])*Y[i]/(1 + exp(-Y[i]))**3 - exp(-Y[i])*Y[i]/(1 +
//     exp(-Y[i]))**2)*grad_Ybar[i]*zbar[i] otherwise)
__kernel void silu_backward_grad_Y(
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
        grad_Y[id] = (Y[i] < (REAL)0 ? (exp(Y[i]) * Y[i] / (exp(Y[i]) + (REAL)1) + (REAL)2 * exp(Y[i]) / (exp(Y[i]) + (REAL)1) + (REAL)2 * exp((REAL)3 * Y[i]) * Y[i] / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1)) - (REAL)3 * exp((REAL)2 * Y[i]) * Y[i] / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1)) - (REAL)2 * exp((REAL)2 * Y[i]) / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1))) * grad_Ybar[i] * zbar[i] : ((REAL)2 * exp(-Y[i]) / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i]))) + (REAL)2 * exp(-(REAL)2 * Y[i]) * Y[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i]))) - exp(-Y[i]) * Y[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i])))) * grad_Ybar[i] * zbar[i]);
    }
}

// grad_zbar[i] = ((exp(Y[i])*Y[i]/(exp(Y[i]) + 1) + exp(Y[i])/(exp(Y[i]) + 1) -
//     exp(2*Y[i])*Y[i]/(exp(Y[i]) + 1)**2)*grad_Ybar[i] if Y[i] < 0; (1/(1 + exp(-Y[i])) +
//     exp(-Y[i])*Y[i]/(1 + exp(-Y[i]))**2)*grad_Ybar[i] otherwise)
__kernel void silu_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (Y[i] < (REAL)0 ? (exp(Y[i]) * Y[i] / (exp(Y[i]) + (REAL)1) + exp(Y[i]) / (exp(Y[i]) + (REAL)1) - exp((REAL)2 * Y[i]) * Y[i] / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1))) * grad_Ybar[i] : ((REAL)1 / ((REAL)1 + exp(-Y[i])) + exp(-Y[i]) * Y[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i])))) * grad_Ybar[i]);
    }
}
