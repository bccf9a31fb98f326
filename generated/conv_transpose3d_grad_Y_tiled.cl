// conv_transpose3d_grad_Y_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_z_halo[a0, a1, a2, a3, a4] = grad_z[a0, a1, a2 - PF, a3 - PT, a4 - PL]
__kernel void conv_transpose3d_grad_Y_pack_grad_z_halo(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_halo,
    __global const int *restrict sizes)
{
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < N * OG * (DH * KH + H * SH + 1 - DH - SH) * (DT * KT + ST * T + 1 - DT - ST) * (DW * KW + SW * W + 1 - DW - SW)) {
        const int a0 = id / (DW * KW + SW * W + 1 - DW - SW) / (DH * KH + H * SH + 1 - DH - SH) / (DT * KT + ST * T + 1 - DT - ST) / OG;
        const int a1 = id / (DW * KW + SW * W + 1 - DW - SW) / (DH * KH + H * SH + 1 - DH - SH) / (DT * KT + ST * T + 1 - DT - ST) % OG;
        const int a2 = id / (DW * KW + SW * W + 1 - DW - SW) / (DH * KH + H * SH + 1 - DH - SH) % (DT * KT + ST * T + 1 - DT - ST);
        const int a3 = id / (DW * KW + SW * W + 1 - DW - SW) % (DH * KH + H * SH + 1 - DH - SH);
        const int a4 = id % (DW * KW + SW * W + 1 - DW - SW);
        grad_z_halo[id] = (PF <= a2 && a2 < OT + PF && PT <= a3 && a3 < OH + PT && PL <= a4 && a4 < OW + PL ? grad_z[(((a0 * OG + a1) * OT + (a2 - PF)) * OH + (a3 - PT)) * OW + (a4 - PL)] : 0);
    }
}

// w_lanes[a0, a1, a2, a3, a4, l] = w[LANES*a0 + l, a1, a2, a3, a4]
__kernel void conv_transpose3d_grad_Y_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < KH * KT * KW * LANES * OG * ((CG - 1) / LANES + 1)) {
        const int a0 = id / LANES / KW / KH / KT / OG;
        const int a1 = id / LANES / KW / KH / KT % OG;
        const int a2 = id / LANES / KW / KH % KT;
        const int a3 = id / LANES / KW % KH;
        const int a4 = id / LANES % KW;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a0 + l < CG ? w[((((LANES * a0 + l) * OG + a1) * KT + a2) * KH + a3) * KW + a4] : 0);
    }
}

// grad_Y[n, k, q, u, v] = Σ_{o_r<OG,h<KT,i<KH,j<KW} grad_z_halo[n, o_r, DT*h + ST*q, DH*i + SH*u,
//     DW*j + SW*v]*w_lanes[⌊k/LANES⌋, o_r, h, i, j, (k mod LANES)]
__kernel void conv_transpose3d_grad_Y_tiled(
    __global const REAL *restrict grad_z_halo,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((CG + LANES - 1) / LANES) * (T / TILE_q) * (H / TILE_u) * (W / TILE_v)) {
        const int n_0 = id / (((CG + LANES - 1) / LANES) * (T / TILE_q) * (H / TILE_u) * (W / TILE_v)) * TILE_n;
        const int k_b = id / ((T / TILE_q) * (H / TILE_u) * (W / TILE_v)) % ((CG + LANES - 1) / LANES);
        const int q_0 = id / ((H / TILE_u) * (W / TILE_v)) % (T / TILE_q) * TILE_q;
        const int u_0 = id / ((W / TILE_v)) % (H / TILE_u) * TILE_u;
        const int v_0 = id % (W / TILE_v) * TILE_v;
        REALV total[TILE_n * TILE_q * TILE_u * TILE_v];
        for (int t = 0; t < TILE_n * TILE_q * TILE_u * TILE_v; t++)
            total[t] = 0;
        for (int o_r_0 = 0; o_r_0 < OG; o_r_0 += CHUNK) {
            REALV part[TILE_n * TILE_q * TILE_u * TILE_v];
            for (int t = 0; t < TILE_n * TILE_q * TILE_u * TILE_v; t++)
                part[t] = 0;
            for (int o_r = o_r_0; o_r < min(o_r_0 + CHUNK, OG); o_r++)
            for (int h = 0; h < KT; h++)
            for (int i = 0; i < KH; i++)
            for (int j = 0; j < KW; j++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + ((((k_b * OG + o_r) * KT + h) * KH + i) * KW + j) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                UNROLL for (int q_t = 0; q_t < TILE_q; q_t++)
                UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
                UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
                {
                    const int n = n_0 + n_t;
                    const int q = q_0 + q_t;
                    const int u = u_0 + u_t;
                    const int v = v_0 + v_t;
                    part[(((n_t) * TILE_q + q_t) * TILE_u + u_t) * TILE_v + v_t] += vector0 * grad_z_halo[(((n * OG + o_r) * (DT * KT + ST * T + 1 - DT - ST) + (DT * h + ST * q)) * (DH * KH + H * SH + 1 - DH - SH) + (DH * i + SH * u)) * (DW * KW + SW * W + 1 - DW - SW) + (DW * j + SW * v)];
                }
            }
            for (int t = 0; t < TILE_n * TILE_q * TILE_u * TILE_v; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        UNROLL for (int q_t = 0; q_t < TILE_q; q_t++)
        UNROLL for (int u_t = 0; u_t < TILE_u; u_t++)
        UNROLL for (int v_t = 0; v_t < TILE_v; v_t++)
        {
            const int n = n_0 + n_t;
            const int q = q_0 + q_t;
            const int u = u_0 + u_t;
            const int v = v_0 + v_t;
            const REALV sum = total[(((n_t) * TILE_q + q_t) * TILE_u + u_t) * TILE_v + v_t];
            for (int k_l = 0; k_l < LANES; k_l++) {
                const int k = k_b * LANES + k_l;
                if (k < CG) {
                    const REAL sum0 = ((const REAL *)&sum)[k_l];
                    grad_Y[(((n * CG + k) * T + q) * H + u) * W + v] = sum0;
                }
            }
        }
    }
}
