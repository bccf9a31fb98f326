// linear_backward_wbar_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// Y_lanes[a0, a1, l] = Y[a0, LANES*a1 + l]
__kernel void linear_backward_wbar_pack_Y_lanes(
    __global const REAL *restrict Y,
    __global REAL *restrict Y_lanes,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < LANES * N * ((K - 1) / LANES + 1)) {
        const int a0 = id / LANES / ((K - 1) / LANES + 1);
        const int a1 = id / LANES % ((K - 1) / LANES + 1);
        const int l = id % LANES;
        Y_lanes[id] = (LANES * a1 + l < K ? Y[a0 * K + (LANES * a1 + l)] : 0);
    }
}

// wbar[o, k] = Σ_{n<N} zbar[n, o]*Y_lanes[n, ⌊k/LANES⌋, (k mod LANES)]
__kernel void linear_backward_wbar_tiled(
    __global const REAL *restrict zbar,
    __global const REAL *restrict Y_lanes,
    __global REAL *restrict wbar,
    __global const int *restrict sizes)
{
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int O = SIZE_O;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (O / TILE_o) * ((K + LANES - 1) / LANES)) {
        const int o_0 = id / (((K + LANES - 1) / LANES)) * TILE_o;
        const int k_b = id % ((K + LANES - 1) / LANES);
        REALV total[TILE_o];
        for (int t = 0; t < TILE_o; t++)
            total[t] = 0;
        for (int n_0 = 0; n_0 < N; n_0 += CHUNK) {
            REALV part[TILE_o];
            for (int t = 0; t < TILE_o; t++)
                part[t] = 0;
            for (int n = n_0; n < min(n_0 + CHUNK, N); n++)
            {
                const REALV vector0 = *(__global const REALV *)(Y_lanes + (n * ((K - 1) / LANES + 1) + k_b) * LANES);
                UNROLL for (int o_t = 0; o_t < TILE_o; o_t++)
                {
                    const int o = o_0 + o_t;
                    part[o_t] += vector0 * zbar[n * O + o];
                }
            }
            for (int t = 0; t < TILE_o; t++)
                total[t] += part[t];
        }
        UNROLL for (int o_t = 0; o_t < TILE_o; o_t++)
        {
            const int o = o_0 + o_t;
            const REALV sum = total[o_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < K) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    wbar[o * K + k] = sum0;
                }
            }
        }
    }
}
