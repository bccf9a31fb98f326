// softplus_backward: generated from its definition, do not edit.
// Certificates: proofs/, sha256 d4ab0bc4b9a7da09d0f2f5e811a2fc3a53773a8a49fda2ef851be76ced64774a
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The reverse pass of softplus. T elements. log(1 + exp(beta*Y))/beta, and Y where beta*Y > threshold.
#pragma OPENCL FP_CONTRACT ON

// Ybar[i] = (zbar[i] if threshold < beta*Y[i]; exp(beta*Y[i])*zbar[i]/(exp(beta*Y[i]) + 1)
//     otherwise)
__kernel void softplus_backward_Ybar(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global REAL *Ybar,
    const REAL beta,
    const REAL threshold,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        Ybar[id] = (threshold < beta * Y[i] ? zbar[i] : exp(beta * Y[i]) * zbar[i] / (exp(beta * Y[i]) + (REAL)1));
    }
}

// grad_Y[i] = (0 if threshold < beta*Y[i]; (beta*exp(beta*Y[i])*zbar[i]/(exp(beta*Y[i]) + 1) -
//     beta*exp(2*beta*Y[i])*zbar[i]/(exp(beta*Y[i]) + 1)**2)*grad_Ybar[i] otherwise)
__kernel void softplus_backward_grad_Y(
    __global const REAL *Y,
    __global const REAL *zbar,
    __global const REAL *grad_Ybar,
    __global REAL *grad_Y,
    const REAL beta,
    const REAL threshold,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (threshold < beta * Y[i] ? (REAL)0 : (beta * exp(beta * Y[i]) * zbar[i] / (exp(beta * Y[i]) + (REAL)1) - beta * exp((REAL)2 * beta * Y[i]) * zbar[i] / ((exp(beta * Y[i]) + (REAL)1) * (exp(beta * Y[i]) + (REAL)1))) * grad_Ybar[i]);
    }
}

// grad_zbar[i] = (grad_Ybar[i] if threshold < beta*Y[i];
//     exp(beta*Y[i])*grad_Ybar[i]/(exp(beta*Y[i]) + 1) otherwise)
__kernel void softplus_backward_grad_zbar(
    __global const REAL *Y,
    __global const REAL *grad_Ybar,
    __global REAL *grad_zbar,
    const REAL beta,
    const REAL threshold,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_zbar[id] = (threshold < beta * Y[i] ? grad_Ybar[i] : exp(beta * Y[i]) * grad_Ybar[i] / (exp(beta * Y[i]) + (REAL)1));
    }
}
