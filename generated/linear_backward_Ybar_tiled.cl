// linear_backward_Ybar_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// w_lanes[a0, a1, l] = w[a0, LANES*a1 + l]
__kernel void linear_backward_Ybar_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int O = SIZE_O;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < LANES * O * ((K - 1) / LANES + 1)) {
        const int a0 = id / LANES / ((K - 1) / LANES + 1);
        const int a1 = id / LANES % ((K - 1) / LANES + 1);
        const int l = id % LANES;
        w_lanes[id] = (LANES * a1 + l < K ? w[a0 * K + (LANES * a1 + l)] : 0);
    }
}

// Ybar[n, k] = Σ_{o<O} zbar[n, o]*w_lanes[o, ⌊k/LANES⌋, (k mod LANES)]
__kernel void linear_backward_Ybar_tiled(
    __global const REAL *restrict zbar,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict Ybar,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((K + LANES - 1) / LANES)) {
        const int n_0 = id / (((K + LANES - 1) / LANES)) * TILE_n;
        const int k_b = id % ((K + LANES - 1) / LANES);
        REALV total[TILE_n];
        for (int t = 0; t < TILE_n; t++)
            total[t] = 0;
        for (int o_0 = 0; o_0 < O; o_0 += CHUNK) {
            REALV part[TILE_n];
            for (int t = 0; t < TILE_n; t++)
                part[t] = 0;
            for (int o = o_0; o < min(o_0 + CHUNK, O); o++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + (o * ((K - 1) / LANES + 1) + k_b) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                {
                    const int n = n_0 + n_t;
                    part[n_t] += vector0 * zbar[n * O + o];
                }
            }
            for (int t = 0; t < TILE_n; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        {
            const int n = n_0 + n_t;
            const REALV sum = total[n_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < K) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    Ybar[n * K + k] = sum0;
                }
            }
        }
    }
}
