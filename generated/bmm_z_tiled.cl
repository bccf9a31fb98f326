// bmm_z_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// B_lanes[a0, a1, a2, l] = B[a0, a1, LANES*a2 + l]
__kernel void bmm_z_pack_B_lanes(
    __global const REAL *restrict B,
    __global REAL *restrict B_lanes,
    __global const int *restrict sizes)
{
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < K * LANES * N * ((J - 1) / LANES + 1)) {
        const int a0 = id / LANES / ((J - 1) / LANES + 1) / K;
        const int a1 = id / LANES / ((J - 1) / LANES + 1) % K;
        const int a2 = id / LANES % ((J - 1) / LANES + 1);
        const int l = id % LANES;
        B_lanes[id] = (LANES * a2 + l < J ? B[(a0 * K + a1) * J + (LANES * a2 + l)] : 0);
    }
}

// z[b, i, j] = Σ_{k<K} A[b, i, k]*B_lanes[b, k, ⌊j/LANES⌋, (j mod LANES)]
__kernel void bmm_z_tiled(
    __global const REAL *restrict A,
    __global const REAL *restrict B_lanes,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < N * (I / TILE_i) * ((J + LANES - 1) / LANES)) {
        const int b = id / ((I / TILE_i) * ((J + LANES - 1) / LANES));
        const int i_0 = id / (((J + LANES - 1) / LANES)) % (I / TILE_i) * TILE_i;
        const int j_b = id % ((J + LANES - 1) / LANES);
        REALV total[TILE_i];
        for (int t = 0; t < TILE_i; t++)
            total[t] = 0;
        for (int k_0 = 0; k_0 < K; k_0 += CHUNK) {
            REALV part[TILE_i];
            for (int t = 0; t < TILE_i; t++)
                part[t] = 0;
            for (int k = k_0; k < min(k_0 + CHUNK, K); k++)
            {
                const REALV vector0 = *(__global const REALV *)(B_lanes + ((b * K + k) * ((J - 1) / LANES + 1) + j_b) * LANES);
                UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
                {
                    const int i = i_0 + i_t;
                    part[i_t] += vector0 * A[(b * I + i) * K + k];
                }
            }
            for (int t = 0; t < TILE_i; t++)
                total[t] += part[t];
        }
        UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
        {
            const int i = i_0 + i_t;
            const REALV sum = total[i_t];
            for (int j_l = 0; j_l < LANES; j_l++) {
                const int j = j_b * LANES + j_l;
                if (j < J) {
                    const REAL sum0 = ((const REAL *)&sum)[j_l];
                    z[(b * I + i) * J + j] = sum0;
                }
            }
        }
    }
}
