// accumulate: generated from its definition, do not edit.
// Certificates: proofs/, sha256 f1c24ac90b3dea37ca3a23619de4d840aa51fdbafb85432cb780d1057a2e0e6d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements; in the first of several batches what was in a before does not count.
#pragma OPENCL FP_CONTRACT ON

// a_new[i] = (g[i] if first > 0; a[i] + g[i] otherwise)
__kernel void accumulate_a_new(
    __global const REAL *a,
    __global const REAL *g,
    __global REAL *a_new,
    const REAL first,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        a_new[id] = (first > (REAL)0 ? g[i] : a[i] + g[i]);
    }
}
