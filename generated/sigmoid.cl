// sigmoid: generated from its definition, do not edit.
// Certificates: proofs/, sha256 08e3f21db1ca4f2fff464c170e5b40099dbff037b5c27498857ebadfe13ed677
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. 1/(1 + exp(-Y)).
#pragma OPENCL FP_CONTRACT ON

// z[i] = (exp(Y[i])/(exp(Y[i]) + 1) if Y[i] < 0; 1/(1 + exp(-Y[i])) otherwise)
__kernel void sigmoid_z(
    __global const REAL *Y,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (Y[i] < (REAL)0 ? exp(Y[i]) / (exp(Y[i]) + (REAL)1) : (REAL)1 / ((REAL)1 + exp(-Y[i])));
    }
}

// grad_Y[i] = ((exp(Y[i])/(exp(Y[i]) + 1) - exp(2*Y[i])/(exp(Y[i]) + 1)**2)*grad_z[i] if Y[i] < 0;
//     exp(-Y[i])*grad_z[i]/(1 + exp(-Y[i]))**2 otherwise)
__kernel void sigmoid_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (Y[i] < (REAL)0 ? (exp(Y[i]) / (exp(Y[i]) + (REAL)1) - exp((REAL)2 * Y[i]) / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1))) * grad_z[i] : exp(-Y[i]) * grad_z[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i]))));
    }
}
