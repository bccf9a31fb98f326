// bmm_grad_B_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_z_lanes[a0, a1, a2, l] = grad_z[a0, a1, LANES*a2 + l]
__kernel void bmm_grad_B_pack_grad_z_lanes(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_lanes,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < I * LANES * N * ((J - 1) / LANES + 1)) {
        const int a0 = id / LANES / ((J - 1) / LANES + 1) / I;
        const int a1 = id / LANES / ((J - 1) / LANES + 1) % I;
        const int a2 = id / LANES % ((J - 1) / LANES + 1);
        const int l = id % LANES;
        grad_z_lanes[id] = (LANES * a2 + l < J ? grad_z[(a0 * I + a1) * J + (LANES * a2 + l)] : 0);
    }
}

// grad_B[b, k, j] = Σ_{i<I} A[b, i, k]*grad_z_lanes[b, i, ⌊j/LANES⌋, (j mod LANES)]
__kernel void bmm_grad_B_tiled(
    __global const REAL *restrict A,
    __global const REAL *restrict grad_z_lanes,
    __global REAL *restrict grad_B,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < N * (K / TILE_k) * ((J + LANES - 1) / LANES)) {
        const int b = id / ((K / TILE_k) * ((J + LANES - 1) / LANES));
        const int k_0 = id / (((J + LANES - 1) / LANES)) % (K / TILE_k) * TILE_k;
        const int j_b = id % ((J + LANES - 1) / LANES);
        REALV total[TILE_k];
        for (int t = 0; t < TILE_k; t++)
            total[t] = 0;
        for (int i_0 = 0; i_0 < I; i_0 += CHUNK) {
            REALV part[TILE_k];
            for (int t = 0; t < TILE_k; t++)
                part[t] = 0;
            for (int i = i_0; i < min(i_0 + CHUNK, I); i++)
            {
                const REALV vector0 = *(__global const REALV *)(grad_z_lanes + ((b * I + i) * ((J - 1) / LANES + 1) + j_b) * LANES);
                UNROLL for (int k_t = 0; k_t < TILE_k; k_t++)
                {
                    const int k = k_0 + k_t;
                    part[k_t] += vector0 * A[(b * I + i) * K + k];
                }
            }
            for (int t = 0; t < TILE_k; t++)
                total[t] += part[t];
        }
        UNROLL for (int k_t = 0; k_t < TILE_k; k_t++)
        {
            const int k = k_0 + k_t;
            const REALV sum = total[k_t];
            for (int j_l = 0; j_l < LANES; j_l++) {
                const int j = j_b * LANES + j_l;
                if (j < J) {
                    const REAL sum0 = ((const REAL *)&sum)[j_l];
                    grad_B[(b * K + k) * J + j] = sum0;
                }
            }
        }
    }
}
