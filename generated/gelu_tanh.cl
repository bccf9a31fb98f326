// gelu_tanh: generated from its definition, do not edit.
// Certificates: proofs/, sha256 da8eaedca7f7170b84f5ea5e53ffabefd951682d8e449346824acd124eccb85d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. GELU's approximation Y*(1 + tanh(u/2))/2; scale is sqrt(2/pi).
#pragma OPENCL FP_CONTRACT ON

// u[i] = 2*scale*(8943*Y[i]**3/200000 + Y[i])
__kernel void gelu_tanh_u(
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

// z[i] = (exp(u[i])*Y[i]/(exp(u[i]) + 1) if u[i] < 0; Y[i]/(1 + exp(-u[i])) otherwise)
__kernel void gelu_tanh_z(
    __global const REAL *Y,
    __global const REAL *u,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (u[i] < (REAL)0 ? exp(u[i]) * Y[i] / (exp(u[i]) + (REAL)1) : Y[i] / ((REAL)1 + exp(-u[i])));
    }
}

// grad_u[i] = ((exp(u[i])*Y[i]/(exp(u[i]) + 1) - exp(2*u[i])*Y[i]/(exp(u[i]) + 1)**2)*grad_z[i] if
//     u[i] < 0; exp(-u[i])*Y[i]*grad_z[i]/(1 + exp(-u[i]))**2 otherwise)
__kernel void gelu_tanh_grad_u(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *grad_z,
    __global REAL *grad_u,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_u[id] = (u[i] < (REAL)0 ? (exp(u[i]) * Y[i] / (exp(u[i]) + (REAL)1) - exp((REAL)2 * u[i]) * Y[i] / ((exp(u[i]) + (REAL)1) * (exp(u[i]) + (REAL)1))) * grad_z[i] : exp(-u[i]) * Y[i] * grad_z[i] / (((REAL)1 + exp(-u[i])) * ((REAL)1 + exp(-u[i]))));
    }
}

// grad_Y[i] = 2*scale*(26829*Y[i]**2/200000 + 1)*grad_u[i] + (exp(u[i])*grad_z[i]/(exp(u[i]) + 1)
//     if u[i] < 0; grad_z[i]/(1 + exp(-u[i])) otherwise)
__kernel void gelu_tanh_grad_Y(
    __global const REAL *Y,
    __global const REAL *u,
    __global const REAL *grad_z,
    __global const REAL *grad_u,
    __global REAL *grad_Y,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (REAL)2 * scale * ((REAL)26829 * Y[i] * Y[i] / (REAL)200000 + (REAL)1) * grad_u[i] + (u[i] < (REAL)0 ? exp(u[i]) * grad_z[i] / (exp(u[i]) + (REAL)1) : grad_z[i] / ((REAL)1 + exp(-u[i])));
    }
}
