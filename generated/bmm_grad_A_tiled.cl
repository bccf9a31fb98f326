// bmm_grad_A_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// B_lanes[a0, a1, a2, l] = B[a0, LANES*a1 + l, a2]
__kernel void bmm_grad_A_pack_B_lanes(
    __global const REAL *restrict B,
    __global REAL *restrict B_lanes,
    __global const int *restrict sizes)
{
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < J * LANES * N * ((K - 1) / LANES + 1)) {
        const int a0 = id / LANES / J / ((K - 1) / LANES + 1);
        const int a1 = id / LANES / J % ((K - 1) / LANES + 1);
        const int a2 = id / LANES % J;
        const int l = id % LANES;
        B_lanes[id] = (LANES * a1 + l < K ? B[(a0 * K + (LANES * a1 + l)) * J + a2] : 0);
    }
}

// grad_A[b, i, k] = Σ_{j<J} grad_z[b, i, j]*B_lanes[b, ⌊k/LANES⌋, j, (k mod LANES)]
__kernel void bmm_grad_A_tiled(
    __global const REAL *restrict grad_z,
    __global const REAL *restrict B_lanes,
    __global REAL *restrict grad_A,
    __global const int *restrict sizes)
{
    const int I = SIZE_I;
    const int J = SIZE_J;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < N * (I / TILE_i) * ((K + LANES - 1) / LANES)) {
        const int b = id / ((I / TILE_i) * ((K + LANES - 1) / LANES));
        const int i_0 = id / (((K + LANES - 1) / LANES)) % (I / TILE_i) * TILE_i;
        const int k_b = id % ((K + LANES - 1) / LANES);
        REALV total[TILE_i];
        for (int t = 0; t < TILE_i; t++)
            total[t] = 0;
        for (int j_0 = 0; j_0 < J; j_0 += CHUNK) {
            REALV part[TILE_i];
            for (int t = 0; t < TILE_i; t++)
                part[t] = 0;
            for (int j = j_0; j < min(j_0 + CHUNK, J); j++)
            {
                const REALV vector0 = *(__global const REALV *)(B_lanes + ((b * ((K - 1) / LANES + 1) + k_b) * J + j) * LANES);
                UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
                {
                    const int i = i_0 + i_t;
                    part[i_t] += vector0 * grad_z[(b * I + i) * J + j];
                }
            }
            for (int t = 0; t < TILE_i; t++)
                total[t] += part[t];
        }
        UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
        {
            const int i = i_0 + i_t;
            const REALV sum = total[i_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < K) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    grad_A[(b * I + i) * K + k] = sum0;
                }
            }
        }
    }
}
