// gelu: generated from its definition, do not edit.
// Certificates: proofs/, sha256 f3d9e57c5ef0baf96307878e1846671bc6d0ae3ccb500a8b77098a4cc7129db5
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements. Y times the normal distribution's function: Hendrycks, Gimpel 2016.
#pragma OPENCL FP_CONTRACT ON

// z[i] = (erf(sqrt(2)*Y[i]/2) + 1)*Y[i]/2
__kernel void gelu_z(
    __global const REAL *Y,
    __global REAL *z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (erf(sqrt((REAL)2) * Y[i] / (REAL)2) + (REAL)1) * Y[i] / (REAL)2;
    }
}

// grad_Y[i] = (erf(sqrt(2)*Y[i]/2)/2 + 1/2 + sqrt(2)*exp(-Y[i]**2/2)*Y[i]/(2*sqrt(pi)))*grad_z[i]
__kernel void gelu_grad_Y(
    __global const REAL *Y,
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (erf(sqrt((REAL)2) * Y[i] / (REAL)2) / (REAL)2 + (REAL)1 / (REAL)2 + sqrt((REAL)2) * exp(-Y[i] * Y[i] / (REAL)2) * Y[i] / ((REAL)2 * sqrt((REAL)3.14159265358979323846))) * grad_z[i];
    }
}
