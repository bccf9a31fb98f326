// group_norm_grad_mean_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_y_lanes[a0, a1, a2, a3, l] = grad_y[LANES*a0 + l, a1, a2, a3]
__kernel void group_norm_grad_mean_pack_grad_y_lanes(
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_y_lanes,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < CG * G * L * LANES * ((N - 1) / LANES + 1)) {
        const int a0 = id / LANES / L / CG / G;
        const int a1 = id / LANES / L / CG % G;
        const int a2 = id / LANES / L % CG;
        const int a3 = id / LANES % L;
        const int l = id % LANES;
        grad_y_lanes[id] = (LANES * a0 + l < N ? grad_y[(((LANES * a0 + l) * G + a1) * CG + a2) * L + a3] : 0);
    }
}

// grad_mean[n, g] = -Σ_{c<CG,l<L} gamma[g, c]*grad_y_lanes[⌊n/LANES⌋, g, c, l, (n mod
//     LANES)]/sqrt(eps + var[n, g])
__kernel void group_norm_grad_mean_tiled(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y_lanes,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < ((N + LANES - 1) / LANES) * G) {
        const int n_b = id / (G);
        const int g = id % G;
        REALV total[1];
        for (int t = 0; t < 1; t++)
            total[t] = 0;
        for (int c_0 = 0; c_0 < CG; c_0 += CHUNK) {
            REALV part[1];
            for (int t = 0; t < 1; t++)
                part[t] = 0;
            for (int c = c_0; c < min(c_0 + CHUNK, CG); c++)
            for (int l = 0; l < L; l++)
            {
                const REALV vector0 = *(__global const REALV *)(grad_y_lanes + (((n_b * G + g) * CG + c) * L + l) * LANES);
                {
                    part[0] += vector0 * gamma[g * CG + c];
                }
            }
            for (int t = 0; t < 1; t++)
                total[t] += part[t];
        }
        {
            const REALV sum = total[0];
            for (int n_l = 0; n_l < LANES; n_l++) {
                const int n = n_b * LANES + n_l;
                if (n < N) {
                    const REAL sum0 = ((const REAL *)&sum)[n_l];
                    grad_mean[n * G + g] = -sum0 / sqrt(eps + var[n * G + g]);
                }
            }
        }
    }
}
