// conv_transpose1d_grad_Y_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_z_halo[a0, a1, a2] = grad_z[a0, a1, a2 - PL]
__kernel void conv_transpose1d_grad_Y_pack_grad_z_halo(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_halo,
    __global const int *restrict sizes)
{
    const int DW = SIZE_DW;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < N * OG * (DW * KW + SW * W + 1 - DW - SW)) {
        const int a0 = id / (DW * KW + SW * W + 1 - DW - SW) / OG;
        const int a1 = id / (DW * KW + SW * W + 1 - DW - SW) % OG;
        const int a2 = id % (DW * KW + SW * W + 1 - DW - SW);
        grad_z_halo[id] = (PL <= a2 && a2 < OW + PL ? grad_z[(a0 * OG + a1) * OW + (a2 - PL)] : 0);
    }
}

// w_lanes[a0, a1, a2, l] = w[LANES*a0 + l, a1, a2]
__kernel void conv_transpose1d_grad_Y_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int KW = SIZE_KW;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < KW * LANES * OG * ((CG - 1) / LANES + 1)) {
        const int a0 = id / LANES / KW / OG;
        const int a1 = id / LANES / KW % OG;
        const int a2 = id / LANES % KW;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a0 + l < CG ? w[((LANES * a0 + l) * OG + a1) * KW + a2] : 0);
    }
}

// grad_Y[n, k, v] = Σ_{o_r<OG,j<KW} grad_z_halo[n, o_r, DW*j + SW*v]*w_lanes[⌊k/LANES⌋, o_r, j, (k
//     mod LANES)]
__kernel void conv_transpose1d_grad_Y_tiled(
    __global const REAL *restrict grad_z_halo,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DW = SIZE_DW;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((CG + LANES - 1) / LANES) * (W / TILE_v)) {
        const int n_0 = id / (((CG + LANES - 1) / LANES) * (W / TILE_v)) * TILE_n;
        const int k_b = id / ((W / TILE_v)) % ((CG + LANES - 1) / LANES);
        const int v_0 = id % (W / TILE_v) * TILE_v;
        REALV total[TILE_n * TILE_v];
        for (int t = 0; t < TILE_n * TILE_v; t++)
            total[t] = 0;
        for (int o_r_0 = 0; o_r_0 < OG; o_r_0 += CHUNK) {
            REALV part[TILE_n * TILE_v];
            for (int t = 0; t < TILE_n * TILE_v; t++)
                part[t] = 0;
            for (int o_r = o_r_0; o_r < min(o_r_0 + CHUNK, OG); o_r++)
            for (int j = 0; j < KW; j++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + ((k_b * OG + o_r) * KW + j) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
                {
                    const int n = n_0 + n_t;
                    const int v = v_0 + v_t;
                    part[(n_t) * TILE_v + v_t] += vector0 * grad_z_halo[(n * OG + o_r) * (DW * KW + SW * W + 1 - DW - SW) + (DW * j + SW * v)];
                }
            }
            for (int t = 0; t < TILE_n * TILE_v; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
        {
            const int n = n_0 + n_t;
            const int v = v_0 + v_t;
            const REALV sum = total[(n_t) * TILE_v + v_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < CG) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    grad_Y[(n * CG + k) * W + v] = sum0;
                }
            }
        }
    }
}
