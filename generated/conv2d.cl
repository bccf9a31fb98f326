// conv2d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 596872e474407e26d66fbbd1aa548ea1e41718f82c59d6c80b4df86875dd6887
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N images, G groups of CG input and OG output channels, H x W pixels, KH x KW taps;
//     S, D: stride and dilation per axis (H, W); PT, PB, PL, PR: padding above, below, left, right.
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

// z[n, o, x, y] = b[o] + Σ_{c<CG,i<KH,j<KW} Y[n, CG*⌊o/OG⌋ + c, DH*i + SH*x - PT, DW*j + SW*y -
//     PL]*w[o, c, i, j]
__kernel void conv2d_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
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
    if (id < G * N * OG * OH * OW) {
        const int n = id / OW / OH / (G * OG);
        const int o = id / OW / OH % (G * OG);
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q2 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                const int sum0_u0 = DH * i + SH * x - PT;
                if (0 <= sum0_u0 && sum0_u0 < H) {
                    REAL sum0_i_j = 0;
                    for (int j = 0; j < KW; j++) {
                        const int sum0_u1 = DW * j + SW * y - PL;
                        if (0 <= sum0_u1 && sum0_u1 < W) {
                            sum0_i_j += Y[((n * (CG * G) + (CG * sum0_q2 + c)) * H + sum0_u0) * W + sum0_u1] * w[((o * CG + c) * KH + i) * KW + j];
                        }
                    }
                    sum0_i += sum0_i_j;
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, u, v] = Σ_{o_r<OG,i<KH,j<KW} [DH*i ≤ PT + u] [SH divides PT + u - DH*i] [⌊(PT + u -
//     DH*i)/SH⌋ < OH] [DW*j ≤ PL + v] [SW divides PL + v - DW*j] [⌊(PL + v - DW*j)/SW⌋ < OW]
//     grad_z[n, OG*⌊k/CG⌋ + o_r, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋]*w[OG*⌊k/CG⌋ + o_r, (k
//     mod CG), i, j]
__kernel void conv2d_grad_Y(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
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
    if (id < CG * G * H * N * W) {
        const int n = id / W / H / (CG * G);
        const int k = id / W / H % (CG * G);
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q2 = k / CG;
        const int sum0_q3 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                if (DH * i <= PT + u && (PT + u - DH * i) % SH == 0) {
                    const int sum0_q0 = (PT + u - DH * i) / SH;
                    if (sum0_q0 < OH) {
                        REAL sum0_i_j = 0;
                        for (int j = 0; j < KW; j++) {
                            if (DW * j <= PL + v && (PL + v - DW * j) % SW == 0) {
                                const int sum0_q1 = (PL + v - DW * j) / SW;
                                if (sum0_q1 < OW) {
                                    sum0_i_j += grad_z[((n * (G * OG) + (OG * sum0_q2 + o_r)) * OH + sum0_q0) * OW + sum0_q1] * w[(((OG * sum0_q2 + o_r) * CG + sum0_q3) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i += sum0_i_j;
                    }
                }
            }
            sum0 += sum0_i;
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[o, c, i, j] = Σ_{n<N,x<OH,y<OW} Y[n, CG*⌊o/OG⌋ + c, DH*i + SH*x - PT, DW*j + SW*y -
//     PL]*grad_z[n, o, x, y]
__kernel void conv2d_grad_w(
    __global const REAL *restrict Y,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
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
    if (id < CG * G * KH * KW * OG) {
        const int o = id / KW / KH / CG;
        const int c = id / KW / KH % CG;
        const int i = id / KW % KH;
        const int j = id % KW;
        REAL sum0 = 0;
        const int sum0_q2 = o / OG;
        for (int n = 0; n < N; n++) {
            REAL sum0_x = 0;
            for (int x = 0; x < OH; x++) {
                const int sum0_u0 = DH * i + SH * x - PT;
                if (0 <= sum0_u0 && sum0_u0 < H) {
                    REAL sum0_x_y = 0;
                    for (int y = 0; y < OW; y++) {
                        const int sum0_u1 = DW * j + SW * y - PL;
                        if (0 <= sum0_u1 && sum0_u1 < W) {
                            sum0_x_y += Y[((n * (CG * G) + (CG * sum0_q2 + c)) * H + sum0_u0) * W + sum0_u1] * grad_z[((n * (G * OG) + o) * OH + x) * OW + y];
                        }
                    }
                    sum0_x += sum0_x_y;
                }
            }
            sum0 += sum0_x;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,x<OH,y<OW} grad_z[n, o, x, y]
__kernel void conv2d_grad_b(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_b,
    __global const int *restrict sizes)
{
    const int G = SIZE_G;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * OG) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_x = 0;
            for (int x = 0; x < OH; x++) {
                REAL sum0_x_y = 0;
                for (int y = 0; y < OW; y++) {
                    sum0_x_y += grad_z[((n * (G * OG) + o) * OH + x) * OW + y];
                }
                sum0_x += sum0_x_y;
            }
            sum0 += sum0_x;
        }
        grad_b[id] = sum0;
    }
}

// z[n, o, x, y] = Σ_{c<CG,i<KH,j<KW} Y[n, CG*⌊o/OG⌋ + c, DH*i + SH*x - PT, DW*j + SW*y - PL]*w[o,
//     c, i, j]
__kernel void conv2d_without_b_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
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
    if (id < G * N * OG * OH * OW) {
        const int n = id / OW / OH / (G * OG);
        const int o = id / OW / OH % (G * OG);
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q2 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                const int sum0_u0 = DH * i + SH * x - PT;
                if (0 <= sum0_u0 && sum0_u0 < H) {
                    REAL sum0_i_j = 0;
                    for (int j = 0; j < KW; j++) {
                        const int sum0_u1 = DW * j + SW * y - PL;
                        if (0 <= sum0_u1 && sum0_u1 < W) {
                            sum0_i_j += Y[((n * (CG * G) + (CG * sum0_q2 + c)) * H + sum0_u0) * W + sum0_u1] * w[((o * CG + c) * KH + i) * KW + j];
                        }
                    }
                    sum0_i += sum0_i_j;
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0;
    }
}

// grad_Y[n, k, u, v] = Σ_{o_r<OG,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + v <
//     KW + SW*⌊(PL + v)/SW⌋] [PT + SH*i_m + u < KH + SH*⌊(PT + u)/SH⌋] [i_m ≤ ⌊(PT + u)/SH⌋] [⌊(PT
//     + u)/SH⌋ < OH + i_m] [j_m ≤ ⌊(PL + v)/SW⌋] [⌊(PL + v)/SW⌋ < OW + j_m] grad_z[n, OG*⌊k/CG⌋ +
//     o_r, ⌊(PT + u)/SH⌋ - i_m, ⌊(PL + v)/SW⌋ - j_m]*w[OG*⌊k/CG⌋ + o_r, (k mod CG), PT + u -
//     SH*(⌊(PT + u)/SH⌋ - i_m), PL + v - SW*(⌊(PL + v)/SW⌋ - j_m)]
__kernel void conv2d_grad_Y_phases(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
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
    if (id < CG * G * H * N * W) {
        const int n = id / W / H / (CG * G);
        const int k = id / W / H % (CG * G);
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PT + u, SH);
        const int sum0_q1 = floor_div(PL + v, SW);
        const int sum0_q2 = (KH - 1) / SH;
        const int sum0_q3 = (KW - 1) / SW;
        const int sum0_q4 = k / CG;
        const int sum0_q5 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_i_m = 0;
            for (int i_m = 0; i_m < sum0_q2 + 1; i_m++) {
                const int i_q = sum0_q0 - i_m;
                if (0 <= i_q && i_q < OH) {
                    const int i = PT + u - SH * i_q;
                    if (i < KH) {
                        REAL sum0_i_m_j_m = 0;
                        for (int j_m = 0; j_m < sum0_q3 + 1; j_m++) {
                            const int j_q = sum0_q1 - j_m;
                            if (0 <= j_q && j_q < OW) {
                                const int j = PL + v - SW * j_q;
                                if (j < KW) {
                                    sum0_i_m_j_m += grad_z[((n * (G * OG) + (OG * sum0_q4 + o_r)) * OH + i_q) * OW + j_q] * w[(((OG * sum0_q4 + o_r) * CG + sum0_q5) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i_m += sum0_i_m_j_m;
                    }
                }
            }
            sum0 += sum0_i_m;
        }
        grad_Y[id] = sum0;
    }
}
