// cross_entropy_soft_tiled: generated from its definition, do not edit.
//
// Build options: REAL and its vector REALV of SIZE_LANES elements (-D REALV=float16), every size as a
// number (-D SIZE_N=32), tiles that divide their extents (-D TILE_y=4), CHUNK terms of the outer sum
// to a partial sum, UNROLL a hint for loops over a tile, or nothing.
#pragma OPENCL FP_CONTRACT ON

// d_lanes[a0, a1, l] = d[LANES*a0 + l, a1]
__kernel void cross_entropy_soft_pack_d_lanes(
    __global const REAL *restrict d,
    __global REAL *restrict d_lanes,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < C * LANES * ((N - 1) / LANES + 1)) {
        const int a0 = id / LANES / C;
        const int a1 = id / LANES % C;
        const int l = id % LANES;
        d_lanes[id] = (LANES * a0 + l < N ? d[(LANES * a0 + l) * C + a1] : 0);
    }
}

// soft[n] = (0 if Eq(ignore, t[n]); Σ_{c<C} w[c]*d_lanes[⌊n/LANES⌋, c, (n mod LANES)]/C otherwise)
__kernel void cross_entropy_soft_tiled(
    __global const int *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict d_lanes,
    __global REAL *restrict soft,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int ignore = SIZE_ignore;
    const int LANES = SIZE_LANES;
    const int id = get_global_id(0);
    if (id < ((N + LANES - 1) / LANES)) {
        const int n_b = id;
        REALV total[1];
        for (int t = 0; t < 1; t++)
            total[t] = 0;
        for (int c_0 = 0; c_0 < C; c_0 += CHUNK) {
            REALV part[1];
            for (int t = 0; t < 1; t++)
                part[t] = 0;
            for (int c = c_0; c < min(c_0 + CHUNK, C); c++)
            {
                const REALV vector0 = *(__global const REALV *)(d_lanes + (n_b * C + c) * LANES);
                {
                    part[0] += vector0 * w[c];
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
                    soft[n] = (ignore == t[n] ? (REAL)0 : sum0 / (REAL)C);
                }
            }
        }
    }
}
