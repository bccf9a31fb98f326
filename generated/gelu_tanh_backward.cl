// gelu_tanh_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 eab33e40e67530cb5afb5f488b53a48b159f8d97326d98c1b2f039a47c9b3fbd
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of gelu_tanh. T elements. GELU's approximation Y*(1 + tanh(u/2))/2; scale is sqrt(2/pi).
#pragma OPENCL FP_CONTRACT ON

// u[i] = 2*scale*(8943*Y[i]**3/200000 + Y[i])
__kernel void gelu_tanh_backward_u(
    __global const REAL *Y,
    __global REAL *u,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        u[id] = (REAL)2 * scale * ((REAL)8943 * Y[i] * Y[i] * Y[i] / (REAL)200000 + Y[i]);
    }
}

// ubar[i] = ((exp(u[i])*Y[i]/(exp(u[i]) + 1) - exp(2*u[i])*Y[i]/(exp(u[i]) + 1)**2)*zbar[i] if
//     u[i] < 0; exp(-u[i])*Y[i]*zbar[i]/(1 + exp(-u[i]))**2 otherwise)
__kernel void gelu_tanh_backward_ubar(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *zbar,
    __global REAL *ubar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        ubar[id] = (u[i] < (REAL)0 ? (exp(u[i]) * Y[i] / (exp(u[i]) + (REAL)1) - exp((REAL)2 * u[i]) * Y[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * zbar[i] : exp(-u[i]) * Y[i] * zbar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i]))));
    }
}

// Ybar[i] = 2*scale*(26829*Y[i]**2/200000 + 1)*ubar[i] + (exp(u[i])*zbar[i]/(exp(u[i]) + 1) if
//     u[i] < 0; zbar[i]/(1 + exp(-u[i])) otherwise)
__kernel void gelu_tanh_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *zbar,
    __global const REAL *ubar,
    __global REAL *Ybar,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (REAL)2 * scale * ((REAL)26829 * Y[i] * Y[i] / (REAL)200000 + (REAL)1) * ubar[i] + (u[i] < (REAL)0 ? exp(u[i]) * zbar[i] / (exp(u[i]) + (REAL)1) : zbar[i] / ((REAL)1 + exp(-u[i])));
    }
}

// grad_ubar[i] = 2*scale*(26829*Y[i]**2/200000 + 1)*grad_Ybar[i]
__kernel void gelu_tanh_backward_grad_ubar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_ubar,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_ubar[id] = (REAL)2 * scale * ((REAL)26829 * Y[i] * Y[i] / (REAL)200000 + (REAL)1) * grad_Ybar[i];
    }
}

// grad_u[i] = ((exp(u[i])*zbar[i]/(exp(u[i]) + 1) - exp(2*u[i])*zbar[i]/(exp(u[i]) +
//     1)**2)*grad_Ybar[i] if u[i] < 0; exp(-u[i])*grad_Ybar[i]*zbar[i]/(1 + exp(-u[i]))**2
//     otherwise) + ((exp(u[i])*Y[i]/(exp(u[i]) + 1) + 2*exp(3*u[i])*Y[i]/(exp(u[i]) + 1)**3 -
//     3*exp(2*u[i])*Y[i]/(exp(u[i]) + 1)**2)*grad_ubar[i]*zbar[i] if u[i] < 0;
//     (2*exp(-2*u[i])*Y[i]*zbar[i]/(1 + exp(-u[i]))**3 - exp(-u[i])*Y[i]*zbar[i]/(1 +
//     exp(-u[i]))**2)*grad_ubar[i] otherwise)
__kernel void gelu_tanh_backward_grad_u(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *zbar,
    __global const REAL *grad_Ybar,
    __global const REAL *grad_ubar,
    __global REAL *grad_u,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_u[id] = (u[i] < (REAL)0 ? (exp(u[i]) * zbar[i] / (exp(u[i]) + (REAL)1) - exp((REAL)2 * u[i]) * zbar[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * grad_Ybar[i] : exp(-u[i]) * grad_Ybar[i] * zbar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i])))) + (u[i] < (REAL)0 ? (exp(u[i]) * Y[i] / (exp(u[i]) + (REAL)1) + (REAL)2 * exp((REAL)3 * u[i]) * Y[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1)) - (REAL)3 * exp((REAL)2 * u[i]) * Y[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * grad_ubar[i] * zbar[i] : ((REAL)2 * exp(-(REAL)2 * u[i]) * Y[i] * zbar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i]))) - exp(-u[i]) * Y[i] * zbar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i])))) * grad_ubar[i]);
    }
}

// grad_Y[i] = 2*scale*(26829*Y[i]**2/200000 + 1)*grad_u[i] +
//     26829*scale*Y[i]*grad_Ybar[i]*ubar[i]/50000 + ((exp(u[i])/(exp(u[i]) + 1) -
//     exp(2*u[i])/(exp(u[i]) + 1)**2)*grad_ubar[i]*zbar[i] if u[i] < 0;
//     exp(-u[i])*grad_ubar[i]*zbar[i]/(1 + exp(-u[i]))**2 otherwise)
__kernel void gelu_tanh_backward_grad_Y(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *zbar,
    __global const REAL *ubar,
    __global const REAL *grad_Ybar,
    __global const REAL *grad_ubar,
    __global const REAL *grad_u,
    __global REAL *grad_Y,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (REAL)2 * scale * ((REAL)26829 * Y[i] * Y[i] / (REAL)200000 + (REAL)1) * grad_u[i] + (REAL)26829 * scale * Y[i] * grad_Ybar[i] * ubar[i] / (REAL)50000 + (u[i] < (REAL)0 ? (exp(u[i]) / (exp(u[i]) + (REAL)1) - exp((REAL)2 * u[i]) / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * grad_ubar[i] * zbar[i] : exp(-u[i]) * grad_ubar[i] * zbar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i]))));
    }
}

// grad_zbar[i] = ((exp(u[i])*Y[i]/(exp(u[i]) + 1) - exp(2*u[i])*Y[i]/(exp(u[i]) +
//     1)**2)*grad_ubar[i] if u[i] < 0; exp(-u[i])*Y[i]*grad_ubar[i]/(1 + exp(-u[i]))**2 otherwise)
//     + (exp(u[i])*grad_Ybar[i]/(exp(u[i]) + 1) if u[i] < 0; grad_Ybar[i]/(1 + exp(-u[i]))
//     otherwise)
__kernel void gelu_tanh_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *grad_Ybar,
    __global const REAL *grad_ubar,
    __global REAL *grad_zbar,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (u[i] < (REAL)0 ? (exp(u[i]) * Y[i] / (exp(u[i]) + (REAL)1) - exp((REAL)2 * u[i]) * Y[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * grad_ubar[i] : exp(-u[i]) * Y[i] * grad_ubar[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i])))) + (u[i] < (REAL)0 ? exp(u[i]) * grad_Ybar[i] / (exp(u[i]) + (REAL)1) : grad_Ybar[i] / ((REAL)1 + exp(-u[i])));
    }
}
