// conv1d_grad_w_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// Y_halo[a0, a1, a2] = Y[a0, a1, a2 - PL]
__kernel void conv1d_grad_w_pack_Y_halo(
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

// grad_z_lanes[a0, a1, a2, l] = grad_z[a0, LANES*a1 + l, a2]
__kernel void conv1d_grad_w_pack_grad_z_lanes(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_z_lanes,
    __global const int *restrict sizes)
{
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int LANES = SIZE_LANES;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < LANES * N * OL * ((OG - 1) / LANES + 1)) {
        const int a0 = id / LANES / OL / ((OG - 1) / LANES + 1);
        const int a1 = id / LANES / OL % ((OG - 1) / LANES + 1);
        const int a2 = id / LANES % OL;
        const int l = id % LANES;
        grad_z_lanes[id] = (LANES * a1 + l < OG ? grad_z[(a0 * OG + (LANES * a1 + l)) * OL + a2] : 0);
    }
}

// grad_w[o, c, i] = Σ_{n<N,x<OL} Y_halo[n, c, D*i + S*x]*grad_z_lanes[n, ⌊o/LANES⌋, x, (o mod
//     LANES)]
__kernel void conv1d_grad_w_tiled(
    __global const REAL *restrict Y_halo,
    __global const REAL *restrict grad_z_lanes,
    __global REAL *restrict grad_w,
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
    if (id < ((OG + LANES - 1) / LANES) * (CG / TILE_c) * (K / TILE_i)) {
        const int o_b = id / ((CG / TILE_c) * (K / TILE_i));
        const int c_0 = id / ((K / TILE_i)) % (CG / TILE_c) * TILE_c;
        const int i_0 = id % (K / TILE_i) * TILE_i;
        REALV total[TILE_c * TILE_i];
        for (int t = 0; t < TILE_c * TILE_i; t++)
            total[t] = 0;
        for (int n_0 = 0; n_0 < N; n_0 += CHUNK) {
            REALV part[TILE_c * TILE_i];
            for (int t = 0; t < TILE_c * TILE_i; t++)
                part[t] = 0;
            for (int n = n_0; n < min(n_0 + CHUNK, N); n++)
            for (int x = 0; x < OL; x++)
            {
                const REALV vector0 = *(__global const REALV *)(grad_z_lanes + ((n * ((OG - 1) / LANES + 1) + o_b) * OL + x) * LANES);
                UNROLL for (int c_t = 0; c_t < TILE_c; c_t++)
                UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
                {
                    const int c = c_0 + c_t;
                    const int i = i_0 + i_t;
                    part[(c_t) * TILE_i + i_t] += vector0 * Y_halo[(n * CG + c) * (D * K + OL * S + 1 - D - S) + (D * i + S * x)];
                }
            }
            for (int t = 0; t < TILE_c * TILE_i; t++)
                total[t] += part[t];
        }
        UNROLL for (int c_t = 0; c_t < TILE_c; c_t++)
        UNROLL for (int i_t = 0; i_t < TILE_i; i_t++)
        {
            const int c = c_0 + c_t;
            const int i = i_0 + i_t;
            const REALV sum = total[(c_t) * TILE_i + i_t];
            for (int o_l = 0; o_l < LANES; o_l++) {
                const int o = o_b * LANES + o_l;
                if (o < OG) {
                    const REAL sum0 = ((const REAL *)&sum)[o_l];
                    grad_w[(o * CG + c) * K + i] = sum0;
                }
            }
        }
    }
}
