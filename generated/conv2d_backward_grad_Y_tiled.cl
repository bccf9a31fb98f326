// conv2d_backward_grad_Y_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_wbar_halo[a0, a1, a2, a3] = grad_wbar[a0, a1, PT + SH + a2 - OH*SH, PL + SW + a3 - OW*SW]
__kernel void conv2d_backward_grad_Y_pack_grad_wbar_halo(
    __global const REAL *restrict grad_wbar,
    __global REAL *restrict grad_wbar_halo,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * OG * (H + OH * SH - SH) * (OW * SW + W - SW)) {
        const int a0 = id / (OW * SW + W - SW) / (H + OH * SH - SH) / CG;
        const int a1 = id / (OW * SW + W - SW) / (H + OH * SH - SH) % CG;
        const int a2 = id / (OW * SW + W - SW) % (H + OH * SH - SH);
        const int a3 = id % (OW * SW + W - SW);
        grad_wbar_halo[id] = (OH * SH <= PT + SH + a2 && PT + SH + a2 < KH + OH * SH && OW * SW <= PL + SW + a3 && PL + SW + a3 < KW + OW * SW ? grad_wbar[((a0 * CG + a1) * KH + (PT + SH + a2 - OH * SH)) * KW + (PL + SW + a3 - OW * SW)] : 0);
    }
}

// zbar_lanes[a0, a1, a2, a3, l] = zbar[LANES*a0 + l, a1, a2, a3]
__kernel void conv2d_backward_grad_Y_pack_zbar_lanes(
    __global const REAL *restrict zbar,
    __global REAL *restrict zbar_lanes,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < LANES * OG * OH * OW * ((N - 1) / LANES + 1)) {
        const int a0 = id / LANES / OW / OH / OG;
        const int a1 = id / LANES / OW / OH % OG;
        const int a2 = id / LANES / OW % OH;
        const int a3 = id / LANES % OW;
        const int l = id % LANES;
        zbar_lanes[id] = (LANES * a0 + l < N ? zbar[(((LANES * a0 + l) * OG + a1) * OH + a2) * OW + a3] : 0);
    }
}

// grad_Y[n, k, u, v] = Σ_{o_r<OG,x<OH,y<OW} grad_wbar_halo[o_r, k, OH*SH + u - SH*x - SH, OW*SW +
//     v - SW*y - SW]*zbar_lanes[⌊n/LANES⌋, o_r, x, y, (n mod LANES)]
__kernel void conv2d_backward_grad_Y_tiled(
    __global const REAL *restrict grad_wbar_halo,
    __global const REAL *restrict zbar_lanes,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int H = SIZE_H;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int LANES = SIZE_LANES;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < ((N + LANES - 1) / LANES) * (CG / TILE_k) * (H / TILE_u) * (W / TILE_v)) {
        const int n_b = id / ((CG / TILE_k) * (H / TILE_u) * (W / TILE_v));
        const int k_0 = id / ((H / TILE_u) * (W / TILE_v)) % (CG / TILE_k) * TILE_k;
        const int u_0 = id / ((W / TILE_v)) % (H / TILE_u) * TILE_u;
        const int v_0 = id % (W / TILE_v) * TILE_v;
        REALV total[TILE_k * TILE_u * TILE_v];
        for (int t = 0; t < TILE_k * TILE_u * TILE_v; t++)
            total[t] = 0;
        for (int o_r_0 = 0; o_r_0 < OG; o_r_0 += CHUNK) {
            REALV part[TILE_k * TILE_u * TILE_v];
            for (int t = 0; t < TILE_k * TILE_u * TILE_v; t++)
                part[t] = 0;
            for (int o_r = o_r_0; o_r < min(o_r_0 + CHUNK, OG); o_r++)
            for (int x = 0; x < OH; x++)
            for (int y = 0; y < OW; y++)
            {
                const REALV vector0 = *(__global const REALV *)(zbar_lanes + (((n_b * OG + o_r) * OH + x) * OW + y) * LANES);
                UNROLL for (int k_t = 0; k_t < TILE_k; k_t++)
                UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
                UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
                {
                    const int k = k_0 + k_t;
                    const int u = u_0 + u_t;
                    const int v = v_0 + v_t;
                    part[((k_t) * TILE_u + u_t) * TILE_v + v_t] += vector0 * grad_wbar_halo[((o_r * CG + k) * (H + OH * SH - SH) + (OH * SH + u - SH * x - SH)) * (OW * SW + W - SW) + (OW * SW + v - SW * y - SW)];
                }
            }
            for (int t = 0; t < TILE_k * TILE_u * TILE_v; t++)
                total[t] += part[t];
        }
        UNROLL for (int k_t = 0; k_t < TILE_k; k_t++)
        UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
        UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
        {
            const int k = k_0 + k_t;
            const int u = u_0 + u_t;
            const int v = v_0 + v_t;
            const REALV sum = total[((k_t) * TILE_u + u_t) * TILE_v + v_t];
            for (int n_l = 0; n_l < LANES; n_l++) {
                const int n = n_b * LANES + n_l;
                if (n < N) {
                    const REAL sum0 = ((const REAL *)&sum)[n_l];
                    grad_Y[((n * CG + k) * H + u) * W + v] = sum0;
                }
            }
        }
    }
}
