// running_average: generated from its definition, do not edit.
// Certificates: proofs/, sha256 f9577cc174ca209628e5630b464a273e98a5b9649bf62be1cc472ad3df3f0143
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Running statistics; unbias is m/(m-1) for the variance of m values and 1 for the mean.
#pragma OPENCL FP_CONTRACT ON

// new[c] = momentum*unbias*batch[c] + (1 - momentum)*old[c]
__kernel void running_average_new(
    __global const REAL *old,
    __global const REAL *batch,
    __global REAL *new,
    const REAL momentum,
    const REAL unbias,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int id = get_global_id(0);
    if (id < C) {
        const int c = id;
        new[id] = momentum * unbias * batch[c] + ((REAL)1 - momentum) * old[c];
    }
}
