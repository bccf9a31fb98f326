// conv1d_z_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// Y_halo[a0, a1, a2] = Y[a0, a1, a2 - PL]
__kernel void conv1d_z_pack_Y_halo(
    __global const REAL *restrict Y,
    __global REAL *restrict Y_halo,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < CG * N * (D * K + OL * S + 1 - D - S)) {
        const int a0 = id / (D * K + OL * S + 1 - D - S) / CG;
        const int a1 = id / (D * K + OL * S + 1 - D - S) % CG;
        const int a2 = id % (D * K + OL * S + 1 - D - S);
        Y_halo[id] = (PL <= a2 && a2 < L + PL ? Y[(a0 * CG + a1) * L + (a2 - PL)] : 0);
    }
}

// w_lanes[a0, a1, a2, l] = w[LANES*a0 + l, a1, a2]
__kernel void conv1d_z_pack_w_lanes(
    __global const REAL *restrict w,
    __global REAL *restrict w_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int K = SIZE_K;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < CG * K * LANES * ((OG - 1) / LANES + 1)) {
        const int a0 = id / LANES / K / CG;
        const int a1 = id / LANES / K % CG;
        const int a2 = id / LANES % K;
        const int l = id % LANES;
        w_lanes[id] = (LANES * a0 + l < OG ? w[((LANES * a0 + l) * CG + a1) * K + a2] : 0);
    }
}

// z[n, o, x] = b[o] + Σ_{c<CG,i<K} Y_halo[n, c, D*i + S*x]*w_lanes[⌊o/LANES⌋, c, i, (o mod LANES)]
__kernel void conv1d_z_tiled(
    __global const REAL *restrict b,
    __global const REAL *restrict Y_halo,
    __global const REAL *restrict w_lanes,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int K = SIZE_K;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int S = SIZE_S;
    const int LANES = SIZE_LANES;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < (N / TILE_n) * ((OG + LANES - 1) / LANES) * (OL / TILE_x)) {
        const int n_0 = id / (((OG + LANES - 1) / LANES) * (OL / TILE_x)) * TILE_n;
        const int o_b = id / ((OL / TILE_x)) % ((OG + LANES - 1) / LANES);
        const int x_0 = id % (OL / TILE_x) * TILE_x;
        REALV total[TILE_n * TILE_x];
        for (int t = 0; t < TILE_n * TILE_x; t++)
            total[t] = 0;
        for (int c_0 = 0; c_0 < CG; c_0 += CHUNK) {
            REALV part[TILE_n * TILE_x];
            for (int t = 0; t < TILE_n * TILE_x; t++)
                part[t] = 0;
            for (int c = c_0; c < min(c_0 + CHUNK, CG); c++)
            for (int i = 0; i < K; i++)
            {
                const REALV vector0 = *(__global const REALV *)(w_lanes + ((o_b * CG + c) * K + i) * LANES);
                UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
                UNROLL for (int x_t = 0; x_t < TILE_x; x_t++)
                {
                    const int n = n_0 + n_t;
                    const int x = x_0 + x_t;
                    part[(n_t) * TILE_x + x_t] += vector0 * Y_halo[(n * CG + c) * (D * K + OL * S + 1 - D - S) + (D * i + S * x)];
                }
            }
            for (int t = 0; t < TILE_n * TILE_x; t++)
                total[t] += part[t];
        }
        UNROLL for (int n_t = 0; n_t < TILE_n; n_t++)
        UNROLL for (int x_t = 0; x_t < TILE_x; x_t++)
        {
            const int n = n_0 + n_t;
            const int x = x_0 + x_t;
            const REALV sum = total[(n_t) * TILE_x + x_t];
            for (int o_l = 0; o_l < LANES; o_l++) {
                const int o = o_b * LANES + o_l;
                if (o < OG) {
                    const REAL sum0 = ((const REAL *)&sum)[o_l];
                    z[(n * OG + o) * OL + x] = sum0 + b[o];
                }
            }
        }
    }
}
