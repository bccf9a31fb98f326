// conv2d_backward_grad_w_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_Ybar_halo[a0, a1, a2, a3] = grad_Ybar[a0, a1, a2 - PT, a3 - PL]
__kernel void conv2d_backward_grad_w_pack_grad_Ybar_halo(
    __global const REAL *restrict grad_Ybar,
    __global REAL *restrict grad_Ybar_halo,
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
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * N * (DH * KH + OH * SH + 1 - DH - SH) * (DW * KW + OW * SW + 1 - DW - SW)) {
        const int a0 = id / (DW * KW + OW * SW + 1 - DW - SW) / (DH * KH + OH * SH + 1 - DH - SH) / CG;
        const int a1 = id / (DW * KW + OW * SW + 1 - DW - SW) / (DH * KH + OH * SH + 1 - DH - SH) % CG;
        const int a2 = id / (DW * KW + OW * SW + 1 - DW - SW) % (DH * KH + OH * SH + 1 - DH - SH);
        const int a3 = id % (DW * KW + OW * SW + 1 - DW - SW);
        grad_Ybar_halo[id] = (PT <= a2 && a2 < H + PT && PL <= a3 && a3 < PL + W ? grad_Ybar[((a0 * CG + a1) * H + (a2 - PT)) * W + (a3 - PL)] : 0);
    }
}

// zbar_lanes[a0, a1, a2, a3, l] = zbar[a0, LANES*a1 + l, a2, a3]
__kernel void conv2d_backward_grad_w_pack_zbar_lanes(
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
    if (id < LANES * N * OH * OW * ((OG - 1) / LANES + 1)) {
        const int a0 = id / LANES / OW / OH / ((OG - 1) / LANES + 1);
        const int a1 = id / LANES / OW / OH % ((OG - 1) / LANES + 1);
        const int a2 = id / LANES / OW % OH;
        const int a3 = id / LANES % OW;
        const int l = id % LANES;
        zbar_lanes[id] = (LANES * a1 + l < OG ? zbar[((a0 * OG + (LANES * a1 + l)) * OH + a2) * OW + a3] : 0);
    }
}

// grad_w[o, c, i, j] = Σ_{n<N,x<OH,y<OW} grad_Ybar_halo[n, c, DH*i + SH*x, DW*j +
//     SW*y]*zbar_lanes[n, ⌊o/LANES⌋, x, y, (o mod LANES)]
__kernel void conv2d_backward_grad_w_tiled(
    __global const REAL *restrict grad_Ybar_halo,
    __global const REAL *restrict zbar_lanes,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int KH = SIZE_KH;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int SH = SIZE_SH;
    const int SW = SIZE_SW;
    const int LANES = SIZE_LANES;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < ((OG + LANES - 1) / LANES) * (CG / TILE_c) * (KH / TILE_i) * (KW / TILE_j)) {
        const int o_b = id / ((CG / TILE_c) * (KH / TILE_i) * (KW / TILE_j));
        const int c_0 = id / ((KH / TILE_i) * (KW / TILE_j)) % (CG / TILE_c) * TILE_c;
        const int i_0 = id / ((KW / TILE_j)) % (KH / TILE_i) * TILE_i;
        const int j_0 = id % (KW / TILE_j) * TILE_j;
        REALV total[TILE_c * TILE_i * TILE_j];
        for (int t = 0; t < TILE_c * TILE_i * TILE_j; t++)
            total[t] = 0;
        for (int n_0 = 0; n_0 < N; n_0 += CHUNK) {
            REALV part[TILE_c * TILE_i * TILE_j];
            for (int t = 0; t < TILE_c * TILE_i * TILE_j; t++)
                part[t] = 0;
            for (int n = n_0; n < min(n_0 + CHUNK, N); n++)
            for (int x = 0; x < OH; x++)
            for (int y = 0; y < OW; y++)
            {
                const REALV vector0 = *(__global const REALV *)(zbar_lanes + (((n * ((OG - 1) / LANES + 1) + o_b) * OH + x) * OW + y) * LANES);
                UNROLL for (int c_t = 0; c_t < TILE_c; c_t++)
                UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
                UNROLL for (int j_t = 0; j_t < TILE_j; j_t++)
                {
                    const int c = c_0 + c_t;
                    const int i = i_0 + i_t;
                    const int j = j_0 + j_t;
                    part[((c_t) * TILE_i + i_t) * TILE_j + j_t] += vector0 * grad_Ybar_halo[((n * CG + c) * (DH * KH + OH * SH + 1 - DH - SH) + (DH * i + SH * x)) * (DW * KW + OW * SW + 1 - DW - SW) + (DW * j + SW * y)];
                }
            }
            for (int t = 0; t < TILE_c * TILE_i * TILE_j; t++)
                total[t] += part[t];
        }
        UNROLL for (int c_t = 0; c_t < TILE_c; c_t++)
        UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
        UNROLL for (int j_t = 0; j_t < TILE_j; j_t++)
        {
            const int c = c_0 + c_t;
            const int i = i_0 + i_t;
            const int j = j_0 + j_t;
            const REALV sum = total[((c_t) * TILE_i + i_t) * TILE_j + j_t];
            for (int o_l = 0; o_l < LANES; o_l++) {
                const int o = o_b * LANES + o_l;
                if (o < OG) {
                    const REAL sum0 = ((const REAL *)&sum)[o_l];
                    grad_w[((o * CG + c) * KH + i) * KW + j] = sum0;
                }
            }
        }
    }
}
