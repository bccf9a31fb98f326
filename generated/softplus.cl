// softplus: generated from its definition, do not edit.
// Certificates: proofs/, sha256 44ec51827ad0e105d55412425b6b18a54e91cf3f749af42a81e03a196acb9052
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. log(1 + exp(beta*Y))/beta, and Y where beta*Y > threshold.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (Y[i] if threshold < beta*Y[i]; log(exp(beta*Y[i]) + 1)/beta otherwise)
__kernel void softplus_z(
    __global const REAL *Y,
    __global REAL *z,
    const REAL beta,
    const REAL threshold,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (threshold < beta * Y[i] ? Y[i] : log(exp(beta * Y[i]) + (REAL)1) / beta);
    }
}

// grad_Y[i] = (grad_z[i] if threshold < beta*Y[i]; exp(beta*Y[i])*grad_z[i]/(exp(beta*Y[i]) + 1)
//     otherwise)
__kernel void softplus_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    const REAL beta,
    const REAL threshold,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (threshold < beta * Y[i] ? grad_z[i] : exp(beta * Y[i]) * grad_z[i] / (exp(beta * Y[i]) + (REAL)1));
    }
}
