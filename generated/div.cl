// div: generated from its definition, do not edit.
// Certificates: proofs/, sha256 4d200d3e718e421f88ef4dfec695e6ae9ca1c3af472962203312933f0ba194e6
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements.
#pragma OPENCL FP_CONTRACT ON

// z[i] = Y[i]/R[i]
__kernel void div_z(
    __global const REAL *Y,
    __global const REAL *R,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = Y[i] / R[i];
    }
}

// grad_Y[i] = grad_z[i]/R[i]
__kernel void div_grad_Y(
    __global const REAL *R,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = grad_z[i] / R[i];
    }
}

// grad_R[i] = -Y[i]*grad_z[i]/R[i]**2
__kernel void div_grad_R(
    __global const REAL *Y,
    __global const REAL *R,
    __global const REAL *grad_z,
    __global REAL *grad_R,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_R[id] = -Y[i] * grad_z[i] / (R[i] * R[i]);
    }
}
