// conv3d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 11f070bd8686c16892bdd988fcc3dbc5980898960dfcc0ec5860cfed1daef6f7
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N volumes, G groups of CG input and OG output channels, T x H x W voxels, KT x KH x KW taps;
//     S, D: stride and dilation per axis (T, H, W); PF, PK, PT, PB, PL, PR: padding in front, at the
//     back, above, below, left, right.
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

// z[n, o, s, x, y] = b[o] + Σ_{c<CG,h<KT,i<KH,j<KW} Y[n, CG*⌊o/OG⌋ + c, DT*h + ST*s - PF, DH*i +
//     SH*x - PT, DW*j + SW*y - PL]*w[o, c, h, i, j]
__kernel void conv3d_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OH * OT * OW) {
        const int n = id / OW / OH / OT / (G * OG);
        const int o = id / OW / OH / OT % (G * OG);
        const int s = id / OW / OH % OT;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q3 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                const int sum0_u0 = DT * h + ST * s - PF;
                if (0 <= sum0_u0 && sum0_u0 < T) {
                    REAL sum0_h_i = 0;
                    for (int i = 0; i < KH; i++) {
                        const int sum0_u1 = DH * i + SH * x - PT;
                        if (0 <= sum0_u1 && sum0_u1 < H) {
                            REAL sum0_h_i_j = 0;
                            for (int j = 0; j < KW; j++) {
                                const int sum0_u2 = DW * j + SW * y - PL;
                                if (0 <= sum0_u2 && sum0_u2 < W) {
                                    sum0_h_i_j += Y[(((n * (CG * G) + (CG * sum0_q3 + c)) * T + sum0_u0) * H + sum0_u1) * W + sum0_u2] * w[(((o * CG + c) * KT + h) * KH + i) * KW + j];
                                }
                            }
                            sum0_h_i += sum0_h_i_j;
                        }
                    }
                    sum0_h += sum0_h_i;
                }
            }
            sum0 += sum0_h;
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, d, u, v] = Σ_{o_r<OG,h<KT,i<KH,j<KW} [DT*h ≤ PF + d] [ST divides PF + d - DT*h]
//     [⌊(PF + d - DT*h)/ST⌋ < OT] [DH*i ≤ PT + u] [SH divides PT + u - DH*i] [⌊(PT + u - DH*i)/SH⌋
//     < OH] [DW*j ≤ PL + v] [SW divides PL + v - DW*j] [⌊(PL + v - DW*j)/SW⌋ < OW] grad_z[n,
//     OG*⌊k/CG⌋ + o_r, ⌊(PF + d - DT*h)/ST⌋, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v -
//     DW*j)/SW⌋]*w[OG*⌊k/CG⌋ + o_r, (k mod CG), h, i, j]
__kernel void conv3d_grad_Y(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * G * H * N * T * W) {
        const int n = id / W / H / T / (CG * G);
        const int k = id / W / H / T % (CG * G);
        const int d = id / W / H % T;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q3 = k / CG;
        const int sum0_q4 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                if (DT * h <= PF + d && (PF + d - DT * h) % ST == 0) {
                    const int sum0_q0 = (PF + d - DT * h) / ST;
                    if (sum0_q0 < OT) {
                        REAL sum0_h_i = 0;
                        for (int i = 0; i < KH; i++) {
                            if (DH * i <= PT + u && (PT + u - DH * i) % SH == 0) {
                                const int sum0_q1 = (PT + u - DH * i) / SH;
                                if (sum0_q1 < OH) {
                                    REAL sum0_h_i_j = 0;
                                    for (int j = 0; j < KW; j++) {
                                        if (DW * j <= PL + v && (PL + v - DW * j) % SW == 0) {
                                            const int sum0_q2 = (PL + v - DW * j) / SW;
                                            if (sum0_q2 < OW) {
                                                sum0_h_i_j += grad_z[(((n * (G * OG) + (OG * sum0_q3 + o_r)) * OT + sum0_q0) * OH + sum0_q1) * OW + sum0_q2] * w[((((OG * sum0_q3 + o_r) * CG + sum0_q4) * KT + h) * KH + i) * KW + j];
                                            }
                                        }
                                    }
                                    sum0_h_i += sum0_h_i_j;
                                }
                            }
                        }
                        sum0_h += sum0_h_i;
                    }
                }
            }
            sum0 += sum0_h;
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[o, c, h, i, j] = Σ_{n<N,s<OT,x<OH,y<OW} Y[n, CG*⌊o/OG⌋ + c, DT*h + ST*s - PF, DH*i + SH*x
//     - PT, DW*j + SW*y - PL]*grad_z[n, o, s, x, y]
__kernel void conv3d_grad_w(
    __global const REAL *restrict Y,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * G * KH * KT * KW * OG) {
        const int o = id / KW / KH / KT / CG;
        const int c = id / KW / KH / KT % CG;
        const int h = id / KW / KH % KT;
        const int i = id / KW % KH;
        const int j = id % KW;
        REAL sum0 = 0;
        const int sum0_q3 = o / OG;
        for (int n = 0; n < N; n++) {
            REAL sum0_s = 0;
            for (int s = 0; s < OT; s++) {
                const int sum0_u0 = DT * h + ST * s - PF;
                if (0 <= sum0_u0 && sum0_u0 < T) {
                    REAL sum0_s_x = 0;
                    for (int x = 0; x < OH; x++) {
                        const int sum0_u1 = DH * i + SH * x - PT;
                        if (0 <= sum0_u1 && sum0_u1 < H) {
                            REAL sum0_s_x_y = 0;
                            for (int y = 0; y < OW; y++) {
                                const int sum0_u2 = DW * j + SW * y - PL;
                                if (0 <= sum0_u2 && sum0_u2 < W) {
                                    sum0_s_x_y += Y[(((n * (CG * G) + (CG * sum0_q3 + c)) * T + sum0_u0) * H + sum0_u1) * W + sum0_u2] * grad_z[(((n * (G * OG) + o) * OT + s) * OH + x) * OW + y];
                                }
                            }
                            sum0_s_x += sum0_s_x_y;
                        }
                    }
                    sum0_s += sum0_s_x;
                }
            }
            sum0 += sum0_s;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,s<OT,x<OH,y<OW} grad_z[n, o, s, x, y]
__kernel void conv3d_grad_b(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_b,
    __global const int *restrict sizes)
{
    const int G = SIZE_G;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * OG) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_s = 0;
            for (int s = 0; s < OT; s++) {
                REAL sum0_s_x = 0;
                for (int x = 0; x < OH; x++) {
                    REAL sum0_s_x_y = 0;
                    for (int y = 0; y < OW; y++) {
                        sum0_s_x_y += grad_z[(((n * (G * OG) + o) * OT + s) * OH + x) * OW + y];
                    }
                    sum0_s_x += sum0_s_x_y;
                }
                sum0_s += sum0_s_x;
            }
            sum0 += sum0_s;
        }
        grad_b[id] = sum0;
    }
}

// z[n, o, s, x, y] = Σ_{c<CG,h<KT,i<KH,j<KW} Y[n, CG*⌊o/OG⌋ + c, DT*h + ST*s - PF, DH*i + SH*x -
//     PT, DW*j + SW*y - PL]*w[o, c, h, i, j]
__kernel void conv3d_without_b_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DH = SIZE_DH;
    const int DT = SIZE_DT;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OH * OT * OW) {
        const int n = id / OW / OH / OT / (G * OG);
        const int o = id / OW / OH / OT % (G * OG);
        const int s = id / OW / OH % OT;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q3 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                const int sum0_u0 = DT * h + ST * s - PF;
                if (0 <= sum0_u0 && sum0_u0 < T) {
                    REAL sum0_h_i = 0;
                    for (int i = 0; i < KH; i++) {
                        const int sum0_u1 = DH * i + SH * x - PT;
                        if (0 <= sum0_u1 && sum0_u1 < H) {
                            REAL sum0_h_i_j = 0;
                            for (int j = 0; j < KW; j++) {
                                const int sum0_u2 = DW * j + SW * y - PL;
                                if (0 <= sum0_u2 && sum0_u2 < W) {
                                    sum0_h_i_j += Y[(((n * (CG * G) + (CG * sum0_q3 + c)) * T + sum0_u0) * H + sum0_u1) * W + sum0_u2] * w[(((o * CG + c) * KT + h) * KH + i) * KW + j];
                                }
                            }
                            sum0_h_i += sum0_h_i_j;
                        }
                    }
                    sum0_h += sum0_h_i;
                }
            }
            sum0 += sum0_h;
        }
        z[id] = sum0;
    }
}

// grad_Y[n, k, d, u, v] = Σ_{o_r<OG,h_m<⌊(KT - 1)/ST⌋ + 1,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋
//     + 1} [PL + SW*j_m + v < KW + SW*⌊(PL + v)/SW⌋] [PT + SH*i_m + u < KH + SH*⌊(PT + u)/SH⌋] [PF
//     + ST*h_m + d < KT + ST*⌊(PF + d)/ST⌋] [h_m ≤ ⌊(PF + d)/ST⌋] [⌊(PF + d)/ST⌋ < OT + h_m] [i_m
//     ≤ ⌊(PT + u)/SH⌋] [⌊(PT + u)/SH⌋ < OH + i_m] [j_m ≤ ⌊(PL + v)/SW⌋] [⌊(PL + v)/SW⌋ < OW + j_m]
//     grad_z[n, OG*⌊k/CG⌋ + o_r, ⌊(PF + d)/ST⌋ - h_m, ⌊(PT + u)/SH⌋ - i_m, ⌊(PL + v)/SW⌋ -
//     j_m]*w[OG*⌊k/CG⌋ + o_r, (k mod CG), PF + d - ST*(⌊(PF + d)/ST⌋ - h_m), PT + u - SH*(⌊(PT +
//     u)/SH⌋ - i_m), PL + v - SW*(⌊(PL + v)/SW⌋ - j_m)]
__kernel void conv3d_grad_Y_phases(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int H = SIZE_H;
    const int KH = SIZE_KH;
    const int KT = SIZE_KT;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PF = SIZE_PF;
    const int PL = SIZE_PL;
    const int PT = SIZE_PT;
    const int SH = SIZE_SH;
    const int ST = SIZE_ST;
    const int SW = SIZE_SW;
    const int T = SIZE_T;
    const int W = SIZE_W;
    const int OT = SIZE_OT;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * G * H * N * T * W) {
        const int n = id / W / H / T / (CG * G);
        const int k = id / W / H / T % (CG * G);
        const int d = id / W / H % T;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PF + d, ST);
        const int sum0_q1 = floor_div(PT + u, SH);
        const int sum0_q2 = floor_div(PL + v, SW);
        const int sum0_q3 = (KT - 1) / ST;
        const int sum0_q4 = (KH - 1) / SH;
        const int sum0_q5 = (KW - 1) / SW;
        const int sum0_q6 = k / CG;
        const int sum0_q7 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_h_m = 0;
            for (int h_m = 0; h_m < sum0_q3 + 1; h_m++) {
                const int h_q = sum0_q0 - h_m;
                if (0 <= h_q && h_q < OT) {
                    const int h = PF + d - ST * h_q;
                    if (h < KT) {
                        REAL sum0_h_m_i_m = 0;
                        for (int i_m = 0; i_m < sum0_q4 + 1; i_m++) {
                            const int i_q = sum0_q1 - i_m;
                            if (0 <= i_q && i_q < OH) {
                                const int i = PT + u - SH * i_q;
                                if (i < KH) {
                                    REAL sum0_h_m_i_m_j_m = 0;
                                    for (int j_m = 0; j_m < sum0_q5 + 1; j_m++) {
                                        const int j_q = sum0_q2 - j_m;
                                        if (0 <= j_q && j_q < OW) {
                                            const int j = PL + v - SW * j_q;
                                            if (j < KW) {
                                                sum0_h_m_i_m_j_m += grad_z[(((n * (G * OG) + (OG * sum0_q6 + o_r)) * OT + h_q) * OH + i_q) * OW + j_q] * w[((((OG * sum0_q6 + o_r) * CG + sum0_q7) * KT + h) * KH + i) * KW + j];
                                            }
                                        }
                                    }
                                    sum0_h_m_i_m += sum0_h_m_i_m_j_m;
                                }
                            }
                        }
                        sum0_h_m += sum0_h_m_i_m;
                    }
                }
            }
            sum0 += sum0_h_m;
        }
        grad_Y[id] = sum0;
    }
}
