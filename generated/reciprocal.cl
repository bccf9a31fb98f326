// reciprocal: generated from its definition, do not edit.
// Certificates: proofs/, sha256 78d1b269158ec16c61ccdcb8cd5526d184e1311a22fa61452c2804a959192398
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements; a number over a tensor.
#pragma OPENCL FP_CONTRACT ON

// z[i] = factor/Y[i]
__kernel void reciprocal_z(
    __global const REAL *Y,
    __global REAL *z,
    const REAL factor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = factor / Y[i];
    }
}

// grad_Y[i] = -factor*grad_z[i]/Y[i]**2
__kernel void reciprocal_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    const REAL factor,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = -factor * grad_z[i] / (Y[i] * Y[i]);
    }
}
