// adaptive_avg_pool2d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 4c8f83987f3e8c35bb72675b1bf24b519edda0548be95745d7886c58af762d45
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// OH x OW windows over H x W pixels.
#pragma OPENCL FP_CONTRACT ON

// z[n, c, x, y] = Σ_{u<H,v<W} [⌊(H*x)/OH⌋ ≤ u] [u ≤ ⌊(H*x + H - 1)/OH⌋] [⌊(W*y)/OW⌋ ≤ v] [v ≤
//     ⌊(W*y + W - 1)/OW⌋] Y[n, c, u, v]/((⌊(H*x + H - 1)/OH⌋ + 1 - ⌊(H*x)/OH⌋)*(⌊(W*y + W - 1)/OW⌋
//     + 1 - ⌊(W*y)/OW⌋))
__kernel void adaptive_avg_pool2d_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int N = SIZE_N;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int W = SIZE_W;
    const int id = get_global_id(0);
    if (id < C * N * OH * OW) {
        const int n = id / OW / OH / C;
        const int c = id / OW / OH % C;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = H * x / OH;
        const int sum0_q1 = (H * x + H - 1) / OH;
        const int sum0_q2 = W * y / OW;
        const int sum0_q3 = (W * y + W - 1) / OW;
        for (int u = 0; u < H; u++) {
            if (sum0_q0 <= u && u <= sum0_q1) {
                REAL sum0_v = 0;
                for (int v = 0; v < W; v++) {
                    if (sum0_q2 <= v && v <= sum0_q3) {
                        sum0_v += Y[((n * C + c) * H + u) * W + v];
                    }
                }
                sum0 += sum0_v;
            }
        }
        z[id] = sum0 / (((REAL)((H * x + H - 1) / OH) + (REAL)1 - (REAL)(H * x / OH)) * ((REAL)((W * y + W - 1) / OW) + (REAL)1 - (REAL)(W * y / OW)));
    }
}

// grad_Y[n, c, u, v] = Σ_{x<OH,y<OW} [⌊(H*x)/OH⌋ ≤ u] [u ≤ ⌊(H*x + H - 1)/OH⌋] [⌊(W*y)/OW⌋ ≤ v] [v
//     ≤ ⌊(W*y + W - 1)/OW⌋] grad_z[n, c, x, y]/((⌊(H*x + H - 1)/OH⌋ + 1 - ⌊(H*x)/OH⌋)*(⌊(W*y + W -
//     1)/OW⌋ + 1 - ⌊(W*y)/OW⌋))
__kernel void adaptive_avg_pool2d_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int N = SIZE_N;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int W = SIZE_W;
    const int id = get_global_id(0);
    if (id < C * H * N * W) {
        const int n = id / W / H / C;
        const int c = id / W / H % C;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        for (int x = 0; x < OH; x++) {
            const int sum0_q0 = H * x / OH;
            if (sum0_q0 <= u) {
                const int sum0_q1 = (H * x + H - 1) / OH;
                if (u <= sum0_q1) {
                    REAL sum0_y = 0;
                    for (int y = 0; y < OW; y++) {
                        const int sum0_q2 = W * y / OW;
                        if (sum0_q2 <= v) {
                            const int sum0_q3 = (W * y + W - 1) / OW;
                            if (v <= sum0_q3) {
                                sum0_y += grad_z[((n * C + c) * OH + x) * OW + y] / (((REAL)sum0_q1 + (REAL)1 - (REAL)sum0_q0) * ((REAL)sum0_q3 + (REAL)1 - (REAL)sum0_q2));
                            }
                        }
                    }
                    sum0 += sum0_y;
                }
            }
        }
        grad_Y[id] = sum0;
    }
}
