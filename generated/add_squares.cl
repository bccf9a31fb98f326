// add_squares: generated from its definition, do not edit.
// Certificates: proofs/, sha256 0b76aa542acf9eecead984873dac6913d26faffd6e1369e3fae5229a0172a5a2
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// t plus the squares of T elements.
#pragma OPENCL FP_CONTRACT ON

// z = t + Σ_{i<T} g[i]**2
__kernel void add_squares_z(
    __global const REAL *restrict g,
    __global const REAL *restrict t,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int i = 0; i < T; i++) {
            sum0 += g[i] * g[i];
        }
        z[id] = sum0 + t[0];
    }
}
