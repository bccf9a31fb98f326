// dropout: generated from its definition, do not edit.
// Certificates: proofs/, sha256 b065629468df85021241d9b1d7420b78d8d0e9443972e8ee5a4e597707aee0e8
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// T elements.
#pragma OPENCL FP_CONTRACT ON

// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011): word 0 for key (k0, k1), counter (c0, c1, 0, 0).
uint philox4x32(uint k0, uint k1, uint c0, uint c1)
{
    uint c2 = 0;
    uint c3 = 0;
    for (int round = 0; round < 10; round++) {
        const uint high0 = mul_hi(0xD2511F53u, c0);
        const uint low0 = 0xD2511F53u * c0;
        const uint high1 = mul_hi(0xCD9E8D57u, c2);
        const uint low1 = 0xCD9E8D57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c0;
}

// z[i] = (scale*Y[i] if threshold <= philox(key0, key1, i, call); 0 otherwise)
__kernel void dropout_z(
    __global const REAL *Y,
    __global REAL *z,
    const uint key0,
    const uint key1,
    const uint call,
    const uint threshold,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        z[id] = (threshold <= philox4x32((uint)(key0), (uint)(key1), (uint)(i), (uint)(call)) ? scale * Y[i] : (REAL)0);
    }
}

// grad_Y[i] = (scale*grad_z[i] if threshold <= philox(key0, key1, i, call); 0 otherwise)
__kernel void dropout_grad_Y(
    __global const REAL *grad_z,
    __global REAL *grad_Y,
    const uint key0,
    const uint key1,
    const uint call,
    const uint threshold,
    const REAL scale,
    __global const int *restrict sizes)
{
    const int T = SIZE_T;
    const int id = get_global_id(0);
    if (id < T) {
        const int i = id;
        grad_Y[id] = (threshold <= philox4x32((uint)(key0), (uint)(key1), (uint)(i), (uint)(call)) ? scale * grad_z[i] : (REAL)0);
    }
}
