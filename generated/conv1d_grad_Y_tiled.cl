// conv1d_grad_Y_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_z_halo[a0, a1, a2] = grad_z[a0, a1, D + PL + a2 - D*K]
__kernel void conv1d_grad_Y_pack_grad_z_halo(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_halo,
    __global const int *restrict sizes)
{
    const int D = SIZE_D;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < N * OG * (D * K + L - D)) {
        const int a0 = id / (D * K + L - D) / OG;
        const int a1 = id / (D * K + L - D) % OG;
        const int a2 = id % (D * K + L - D);
        grad_z_halo[id] = (D * K <= D + PL + a2 && D + PL + a2 < D * K + OL ? grad_z[(a0 * OG + a1) * OL + (D + PL + a2 - D * K)] : 0);
    }
}

// w_lanes[a0, a1, a2, l] = w[a0, LANES*a1 + l, a2]
__kernel void conv1d_grad_Y_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int K = SIZE_K;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < K * LANES * OG * ((CG - 1) / LANES + 1)) {
        const int a0 = id / LANES / K / ((CG - 1) / LANES + 1);
        const int a1 = id / LANES / K % ((CG - 1) / LANES + 1);
        const int a2 = id / LANES % K;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a1 + l < CG ? w[(a0 * CG + (LANES * a1 + l)) * K + a2] : 0);
    }
}

// grad_Y[n, k, u] = Σ_{o_r<OG,i<K} grad_z_halo[n, o_r, D*K + u - D*i - D]*w_lanes[o_r, ⌊k/LANES⌋,
//     i, (k mod LANES)]
__kernel void conv1d_grad_Y_tiled(
    __global const REAL *restrict grad_z_halo,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((CG + LANES - 1) / LANES) * (L / TILE_u)) {
        const int n_0 = id / (((CG + LANES - 1) / LANES) * (L / TILE_u)) * TILE_n;
        const int k_b = id / ((L / TILE_u)) % ((CG + LANES - 1) / LANES);
        const int u_0 = id % (L / TILE_u) * TILE_u;
        REALV total[TILE_n * TILE_u];
        for (int t = 0; t < TILE_n * TILE_u; t++)
            total[t] = 0;
        for (int o_r_0 = 0; o_r_0 < OG; o_r_0 += CHUNK) {
            REALV part[TILE_n * TILE_u];
            for (int t = 0; t < TILE_n * TILE_u; t++)
                part[t] = 0;
            for (int o_r = o_r_0; o_r < min(o_r_0 + CHUNK, OG); o_r++)
            for (int i = 0; i < K; i++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + ((o_r * ((CG - 1) / LANES + 1) + k_b) * K + i) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
                {
                    const int n = n_0 + n_t;
                    const int u = u_0 + u_t;
                    part[(n_t) * TILE_u + u_t] += vector0 * grad_z_halo[(n * OG + o_r) * (D * K + L - D) + (D * K + u - D * i - D)];
                }
            }
            for (int t = 0; t < TILE_n * TILE_u; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
        {
            const int n = n_0 + n_t;
            const int u = u_0 + u_t;
            const REALV sum = total[(n_t) * TILE_u + u_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < CG) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    grad_Y[(n * CG + k) * L + u] = sum0;
                }
            }
        }
    }
}
