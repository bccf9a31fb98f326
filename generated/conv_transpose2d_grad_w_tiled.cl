// conv_transpose2d_grad_w_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// Y_lanes[a0, a1, a2, a3, l] = Y[a0, LANES*a1 + l, a2, a3]
__kernel void conv_transpose2d_grad_w_pack_Y_lanes(
    __global const REAL *restrict Y,
    __global REAL *restrict Y_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int H = SIZE_H;
    const int N = SIZE_N;
    const int W = SIZE_W;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < H * LANES * N * W * ((CG - 1) / LANES + 1)) {
        const int a0 = id / LANES / W / H / ((CG - 1) / LANES + 1);
        const int a1 = id / LANES / W / H % ((CG - 1) / LANES + 1);
        const int a2 = id / LANES / W % H;
        const int a3 = id / LANES % W;
        const int l = id % LANES;
        Y_lanes[id] = (LANES * a1 + l < CG ? Y[((a0 * CG + (LANES * a1 + l)) * H + a2) * W + a3] : 0);
    }
}

// grad_z_halo[a0, a1, a2, a3] = grad_z[a0, a1, a2 - PT, a3 - PL]
__kernel void conv_transpose2d_grad_w_pack_grad_z_halo(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_halo,
    __global const int *restrict sizes)
{
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < N * OG * (DH * KH + H * SH + 1 - DH - SH) * (DW * KW + SW * W + 1 - DW - SW)) {
        const int a0 = id / (DW * KW + SW * W + 1 - DW - SW) / (DH * KH + H * SH + 1 - DH - SH) / OG;
        const int a1 = id / (DW * KW + SW * W + 1 - DW - SW) / (DH * KH + H * SH + 1 - DH - SH) % OG;
        const int a2 = id / (DW * KW + SW * W + 1 - DW - SW) % (DH * KH + H * SH + 1 - DH - SH);
        const int a3 = id % (DW * KW + SW * W + 1 - DW - SW);
        grad_z_halo[id] = (PT <= a2 && a2 < OH + PT && PL <= a3 && a3 < OW + PL ? grad_z[((a0 * OG + a1) * OH + (a2 - PT)) * OW + (a3 - PL)] : 0);
    }
}

// grad_w[p0, og, i, j] = Σ_{n<N,u<H,v<W} grad_z_halo[n, og, DH*i + SH*u, DW*j + SW*v]*Y_lanes[n,
//     ⌊p0/LANES⌋, u, v, (p0 mod LANES)]
__kernel void conv_transpose2d_grad_w_tiled(
    __global const REAL *restrict Y_lanes,
    __global const REAL *restrict grad_z_halo,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < ((CG + LANES - 1) / LANES) * (OG / TILE_og) * (KH / TILE_i) * (KW / TILE_j)) {
        const int p0_b = id / ((OG / TILE_og) * (KH / TILE_i) * (KW / TILE_j));
        const int og_0 = id / ((KH / TILE_i) * (KW / TILE_j)) % (OG / TILE_og) * TILE_og;
        const int i_0 = id / ((KW / TILE_j)) % (KH / TILE_i) * TILE_i;
        const int j_0 = id % (KW / TILE_j) * TILE_j;
        REALV total[TILE_og * TILE_i * TILE_j];
        for (int t = 0; t < TILE_og * TILE_i * TILE_j; t++)
            total[t] = 0;
        for (int n_0 = 0; n_0 < N; n_0 += CHUNK) {
            REALV part[TILE_og * TILE_i * TILE_j];
            for (int t = 0; t < TILE_og * TILE_i * TILE_j; t++)
                part[t] = 0;
            for (int n = n_0; n < min(n_0 + CHUNK, N); n++)
            for (int u = 0; u < H; u++)
            for (int v = 0; v < W; v++)
            {
                const REALV vector0 = *(__global const REALV *)(Y_lanes + (((n * ((CG - 1) / LANES + 1) + p0_b) * H + u) * W + v) * LANES);
                UNROLL for (int og_t = 0; og_t < TILE_og; og_t++)
                UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
                UNROLL for (int j_t = 0; j_t < TILE_j; j_t++)
                {
                    const int og = og_0 + og_t;
                    const int i = i_0 + i_t;
                    const int j = j_0 + j_t;
                    part[((og_t) * TILE_i + i_t) * TILE_j + j_t] += vector0 * grad_z_halo[((n * OG + og) * (DH * KH + H * SH + 1 - DH - SH) + (DH * i + SH * u)) * (DW * KW + SW * W + 1 - DW - SW) + (DW * j + SW * v)];
                }
            }
            for (int t = 0; t < TILE_og * TILE_i * TILE_j; t++)
                total[t] += part[t];
        }
        UNROLL for (int og_t = 0; og_t < TILE_og; og_t++)
        UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
        UNROLL for (int j_t = 0; j_t < TILE_j; j_t++)
        {
            const int og = og_0 + og_t;
            const int i = i_0 + i_t;
            const int j = j_0 + j_t;
            const REALV sum = total[((og_t) * TILE_i + i_t) * TILE_j + j_t];
            for (int p0_l = 0; p0_l < LANES; p0_l++) {
                const int p0 = p0_b * LANES + p0_l;
                if (p0 < CG) {
                    const REAL sum0 = ((const REAL *)&sum)[p0_l];
                    grad_w[((p0 * OG + og) * KH + i) * KW + j] = sum0;
                }
            }
        }
    }
}
