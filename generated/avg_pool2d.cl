// avg_pool2d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 d9a72fc29916a129fb9d367369b36d10b3565d9605c6e9ab4711d18494d31268
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// The padding counts as zeros: every window divides by KH*KW.
#pragma OPENCL FP_CONTRACT ON

// Division rounded towards minus infinity, for a positive divisor.
int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

int floor_mod(int a, int b)
{
    return a - b * floor_div(a, b);
}

// z[n, c, x, y] = Σ_{i<KH,j<KW} Y[n, c, SH*x + i - PT, SW*y + j - PL]/(KH*KW)
__kernel void avg_pool2d_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
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
    if (id < C * N * OH * OW) {
        const int n = id / OW / OH / C;
        const int c = id / OW / OH % C;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        for (int i = 0; i < KH; i++) {
            const int sum0_u0 = SH * x + i - PT;
            if (0 <= sum0_u0 && sum0_u0 < H) {
                REAL sum0_j = 0;
                for (int j = 0; j < KW; j++) {
                    const int sum0_u1 = SW * y + j - PL;
                    if (0 <= sum0_u1 && sum0_u1 < W) {
                        sum0_j += Y[((n * C + c) * H + sum0_u0) * W + sum0_u1];
                    }
                }
                sum0 += sum0_j;
            }
        }
        z[id] = sum0 / ((REAL)KH * (REAL)KW);
    }
}

// grad_Y[n, c, u, v] = Σ_{i<KH,j<KW} [i ≤ PT + u] [SH divides PT + u - i] [⌊(PT + u - i)/SH⌋ < OH]
//     [j ≤ PL + v] [SW divides PL + v - j] [⌊(PL + v - j)/SW⌋ < OW] grad_z[n, c, ⌊(PT + u -
//     i)/SH⌋, ⌊(PL + v - j)/SW⌋]/(KH*KW)
__kernel void avg_pool2d_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
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
    if (id < C * H * N * W) {
        const int n = id / W / H / C;
        const int c = id / W / H % C;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        for (int i = 0; i < KH; i++) {
            if (i <= PT + u && (PT + u - i) % SH == 0) {
                const int sum0_q0 = (PT + u - i) / SH;
                if (sum0_q0 < OH) {
                    REAL sum0_j = 0;
                    for (int j = 0; j < KW; j++) {
                        if (j <= PL + v && (PL + v - j) % SW == 0) {
                            const int sum0_q1 = (PL + v - j) / SW;
                            if (sum0_q1 < OW) {
                                sum0_j += grad_z[((n * C + c) * OH + sum0_q0) * OW + sum0_q1];
                            }
                        }
                    }
                    sum0 += sum0_j;
                }
            }
        }
        grad_Y[id] = sum0 / ((REAL)KH * (REAL)KW);
    }
}

// grad_Y[n, c, u, v] = Σ_{i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + v < KW +
//     SW*⌊(PL + v)/SW⌋] [PT + SH*i_m + u < KH + SH*⌊(PT + u)/SH⌋] [i_m ≤ ⌊(PT + u)/SH⌋] [⌊(PT +
//     u)/SH⌋ < OH + i_m] [j_m ≤ ⌊(PL + v)/SW⌋] [⌊(PL + v)/SW⌋ < OW + j_m] grad_z[n, c, ⌊(PT +
//     u)/SH⌋ - i_m, ⌊(PL + v)/SW⌋ - j_m]/(KH*KW)
__kernel void avg_pool2d_grad_Y_phases(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
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
    if (id < C * H * N * W) {
        const int n = id / W / H / C;
        const int c = id / W / H % C;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PT + u, SH);
        const int sum0_q1 = floor_div(PL + v, SW);
        const int sum0_q2 = (KH - 1) / SH;
        const int sum0_q3 = (KW - 1) / SW;
        for (int i_m = 0; i_m < sum0_q2 + 1; i_m++) {
            const int i_q = sum0_q0 - i_m;
            if (0 <= i_q && i_q < OH) {
                const int i = PT + u - SH * i_q;
                if (i < KH) {
                    REAL sum0_j_m = 0;
                    for (int j_m = 0; j_m < sum0_q3 + 1; j_m++) {
                        const int j_q = sum0_q1 - j_m;
                        if (0 <= j_q && j_q < OW) {
                            const int j = PL + v - SW * j_q;
                            if (j < KW) {
                                sum0_j_m += grad_z[((n * C + c) * OH + i_q) * OW + j_q];
                            }
                        }
                    }
                    sum0 += sum0_j_m;
                }
            }
        }
        grad_Y[id] = sum0 / ((REAL)KH * (REAL)KW);
    }
}
