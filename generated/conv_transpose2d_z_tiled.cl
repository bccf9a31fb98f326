// conv_transpose2d_z_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// Y_halo[a0, a1, a2, a3] = Y[a0, a1, DH + PT + a2 - DH*KH, DW + PL + a3 - DW*KW]
__kernel void conv_transpose2d_z_pack_Y_halo(
    __global const REAL *restrict Y,
    __global REAL *restrict Y_halo,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int W = SIZE_W;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * N * (DH * KH + OH - DH) * (DW * KW + OW - DW)) {
        const int a0 = id / (DW * KW + OW - DW) / (DH * KH + OH - DH) / CG;
        const int a1 = id / (DW * KW + OW - DW) / (DH * KH + OH - DH) % CG;
        const int a2 = id / (DW * KW + OW - DW) % (DH * KH + OH - DH);
        const int a3 = id % (DW * KW + OW - DW);
        Y_halo[id] = (DH * KH <= DH + PT + a2 && DH + PT + a2 < DH * KH + H && DW * KW <= DW + PL + a3 && DW + PL + a3 < DW * KW + W ? Y[((a0 * CG + a1) * H + (DH + PT + a2 - DH * KH)) * W + (DW + PL + a3 - DW * KW)] : 0);
    }
}

// w_lanes[a0, a1, a2, a3, l] = w[a0, LANES*a1 + l, a2, a3]
__kernel void conv_transpose2d_z_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < CG * KH * KW * LANES * ((OG - 1) / LANES + 1)) {
        const int a0 = id / LANES / KW / KH / ((OG - 1) / LANES + 1);
        const int a1 = id / LANES / KW / KH % ((OG - 1) / LANES + 1);
        const int a2 = id / LANES / KW % KH;
        const int a3 = id / LANES % KW;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a1 + l < OG ? w[((a0 * OG + (LANES * a1 + l)) * KH + a2) * KW + a3] : 0);
    }
}

// z[n, o, x, y] = b[o] + Σ_{c<CG,i<KH,j<KW} Y_halo[n, c, DH*KH + x - DH*i - DH, DW*KW + y - DW*j -
//     DW]*w_lanes[c, ⌊o/LANES⌋, i, j, (o mod LANES)]
__kernel void conv_transpose2d_z_tiled(
    __global const REAL *restrict b,
    __global const REAL *restrict Y_halo,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((OG + LANES - 1) / LANES) * (OH / TILE_x) * (OW / TILE_y)) {
        const int n_0 = id / (((OG + LANES - 1) / LANES) * (OH / TILE_x) * (OW / TILE_y)) * TILE_n;
        const int o_b = id / ((OH / TILE_x) * (OW / TILE_y)) % ((OG + LANES - 1) / LANES);
        const int x_0 = id / ((OW / TILE_y)) % (OH / TILE_x) * TILE_x;
        const int y_0 = id % (OW / TILE_y) * TILE_y;
        REALV total[TILE_n * TILE_x * TILE_y];
        for (int t = 0; t < TILE_n * TILE_x * TILE_y; t++)
            total[t] = 0;
        for (int c_0 = 0; c_0 < CG; c_0 += CHUNK) {
            REALV part[TILE_n * TILE_x * TILE_y];
            for (int t = 0; t < TILE_n * TILE_x * TILE_y; t++)
                part[t] = 0;
            for (int c = c_0; c < min(c_0 + CHUNK, CG); c++)
            for (int i = 0; i < KH; i++)
            for (int j = 0; j < KW; j++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + (((c * ((OG - 1) / LANES + 1) + o_b) * KH + i) * KW + j) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                UNROLL for (int x_t = 0; x_t < TILE_x; x_t++)
                UNROLL for (int y_t = 0; y_t < TILE_y; y_t++)
                {
                    const int n = n_0 + n_t;
                    const int x = x_0 + x_t;
                    const int y = y_0 + y_t;
                    part[((n_t) * TILE_x + x_t) * TILE_y + y_t] += vector0 * Y_halo[((n * CG + c) * (DH * KH + OH - DH) + (DH * KH + x - DH * i - DH)) * (DW * KW + OW - DW) + (DW * KW + y - DW * j - DW)];
                }
            }
            for (int t = 0; t < TILE_n * TILE_x * TILE_y; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        UNROLL for (int x_t = 0; x_t < TILE_x; x_t++)
        UNROLL for (int y_t = 0; y_t < TILE_y; y_t++)
        {
            const int n = n_0 + n_t;
            const int x = x_0 + x_t;
            const int y = y_0 + y_t;
            const REALV sum = total[((n_t) * TILE_x + x_t) * TILE_y + y_t];
            for (int o_l = 0; o_l < LANES; o_l++) {
                const int o = o_b * LANES + o_l;
                if (o < OG) {
                    const REAL sum0 = ((const REAL *)&sum)[o_l];
                    z[((n * OG + o) * OH + x) * OW + y] = sum0 + b[o];
                }
            }
        }
    }
}
