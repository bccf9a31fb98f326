// affine: generated from its definition, do not edit.
// Certificates: proofs/, sha256 7d290d9f245138a886060a831579785f60ebf7fc30363a6b40d59d58678807fa
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements; a tensor times a number, plus a number, over a number.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (factor*Y[i] + shift)/divisor
__kernel void affine_z(
    __global const REAL *Y,
    __global REAL *z,
    const REAL factor,
    const REAL shift,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (factor * Y[i] + shift) / divisor;
    }
}

// grad_Y[i] = factor*grad_z[i]/divisor
__kernel void affine_grad_Y(
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    const REAL factor,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = factor * grad_z[i] / divisor;
    }
}
