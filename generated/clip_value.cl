// clip_value: generated from its definition, do not edit.
// Certificates: proofs/, sha256 be664b8974a9a309bd02f632ea62335c0e34f0da506f6985046593c0eb19cb54
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements, limited to -limit..limit; NaN stays NaN.
#pragma OPENCL FP_CONTRACT ON

// h[i] = (-limit if limit < -g[i]; (limit if limit < g[i]; g[i] otherwise) otherwise)
__kernel void clip_value_h(
    __global const REAL *g,
    __global REAL *h,
    const REAL limit,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        h[id] = (limit < -g[i] ? -limit : (limit < g[i] ? limit : g[i]));
    }
}
