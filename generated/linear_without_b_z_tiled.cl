// linear_without_b_z_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// w_lanes[a0, a1, l] = w[LANES*a0 + l, a1]
__kernel void linear_without_b_z_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int O = SIZE_O;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < K * LANES * ((O - 1) / LANES + 1)) {
        const int a0 = id / LANES / K;
        const int a1 = id / LANES % K;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a0 + l < O ? w[(LANES * a0 + l) * K + a1] : 0);
    }
}

// z[n, o] = Σ_{k<K} Y[n, k]*w_lanes[⌊o/LANES⌋, k, (o mod LANES)]
__kernel void linear_without_b_z_tiled(
    __global const REAL *restrict Y,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((O + LANES - 1) / LANES)) {
        const int n_0 = id / (((O + LANES - 1) / LANES)) * TILE_n;
        const int o_b = id % ((O + LANES - 1) / LANES);
        REALV total[TILE_n];
        for (int t = 0; t < TILE_n; t++)
            total[t] = 0;
        for (int k_0 = 0; k_0 < K; k_0 += CHUNK) {
            REALV part[TILE_n];
            for (int t = 0; t < TILE_n; t++)
                part[t] = 0;
            for (int k = k_0; k < min(k_0 + CHUNK, K); k++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + (o_b * K + k) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                {
                    const int n = n_0 + n_t;
                    part[n_t] += vector0 * Y[n * K + k];
                }
            }
            for (int t = 0; t < TILE_n; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        {
            const int n = n_0 + n_t;
            const REALV sum = total[n_t];
            for (int o_l = 0; o_l < LANES; o_l++) {
                const int o = o_b * LANES + o_l;
                if (o < O) {
                    const REAL sum0 = ((const REAL *)&sum)[o_l];
                    z[n * O + o] = sum0;
                }
            }
        }
    }
}
