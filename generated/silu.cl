// silu: generated from its definition, do not edit.
// Certificates: proofs/, sha256 f96092029ad81a061b121b1aca60715e2708d9d8bb4cfcdb50b1df037ca4a3a7
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. Y times sigmoid(Y): Elfwing, Uchibe, Doya 2017.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (exp(Y[i])*Y[i]/(exp(Y[i]) + 1) if Y[i] < 0; Y[i]/(1 + exp(-Y[i])) otherwise)
__kernel void silu_z(
    __global const REAL *Y,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (Y[i] < (REAL)0 ? exp(Y[i]) * Y[i] / (exp(Y[i]) + (REAL)1) : Y[i] / ((REAL)1 + exp(-Y[i])));
    }
}

// grad_Y[i] = ((exp(Y[i])*Y[i]/(exp(Y[i]) + 1) + exp(Y[i])/(exp(Y[i]) + 1) -
//     exp(2*Y[i])*Y[i]/(exp(Y[i]) + 1)**2)*grad_z[i] if Y[i] < 0; (1/(1 + exp(-Y[i])) +
//     exp(-Y[i])*Y[i]/(1 + exp(-Y[i]))**2)*grad_z[i] otherwise)
__kernel void silu_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (Y[i] < (REAL)0 ? (exp(Y[i]) * Y[i] / (exp(Y[i]) + (REAL)1) + exp(Y[i]) / (exp(Y[i]) + (REAL)1) - exp((REAL)2 * Y[i]) * Y[i] / ((exp(Y[i]) + (REAL)1) * (exp(Y[i]) + (REAL)1))) * grad_z[i] : ((REAL)1 / ((REAL)1 + exp(-Y[i])) + exp(-Y[i]) * Y[i] / (((REAL)1 + exp(-Y[i])) * ((REAL)1 + exp(-Y[i])))) * grad_z[i]);
    }
}
