// mul: generated from its definition, do not edit.
// Certificates: proofs/, sha256 a269332c0e08236e0d0762a1e2735e915ae9013a3f2dc083b5aa07051a094165
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements.
#pragma OPENCL FP_CONTRACT ON

// z[i] = R[i]*Y[i]
__kernel void mul_z(
    __global const REAL *Y,
    __global const REAL *R,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = R[i] * Y[i];
    }
}

// grad_Y[i] = R[i]*grad_z[i]
__kernel void mul_grad_Y(
    __global const REAL *R,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = R[i] * grad_z[i];
    }
}

// grad_R[i] = Y[i]*grad_z[i]
__kernel void mul_grad_R(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_R,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_R[id] = Y[i] * grad_z[i];
    }
}
