// layer_norm_grad_mean_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// grad_y_lanes[a0, a1, l] = grad_y[LANES*a0 + l, a1]
__kernel void layer_norm_grad_mean_pack_grad_y_lanes(
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_y_lanes,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < L * LANES * ((M - 1) / LANES + 1)) {
        const int a0 = id / LANES / L;
        const int a1 = id / LANES % L;
        const int l = id % LANES;
        grad_y_lanes[id] = (LANES * a0 + l < M ? grad_y[(LANES * a0 + l) * L + a1] : 0);
    }
}

// grad_mean[m] = -Σ_{l<L} gamma[l]*grad_y_lanes[⌊m/LANES⌋, l, (m mod LANES)]/sqrt(eps + var[m])
__kernel void layer_norm_grad_mean_tiled(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y_lanes,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < ((M + LANES - 1) / LANES)) {
        const int m_b = id;
        REALV total[1];
        for (int t = 0; t < 1; t++)
            total[t] = 0;
        for (int l_0 = 0; l_0 < L; l_0 += CHUNK) {
            REALV part[1];
            for (int t = 0; t < 1; t++)
                part[t] = 0;
            for (int l = l_0; l < min(l_0 + CHUNK, L); l++)
            {
                const REALV vector0 = *(__global const REALV *)(grad_y_lanes + (m_b * L + l) * LANES);
                {
                    part[0] += vector0 * gamma[l];
                }
            }
            for (int t = 0; t < 1; t++)
                total[t] += part[t];
        }
        {
            const REALV sum = total[0];
            for (int m_l = 0; m_l < LANES; m_l++) {
                const int m = m_b * LANES + m_l;
                if (m < M) {
                    const REAL sum0 = ((const REAL *)&sum)[m_l];
                    grad_mean[m] = -sum0 / sqrt(eps + var[m]);
                }
            }
        }
    }
}
