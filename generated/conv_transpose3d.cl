// conv_transpose3d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 66279c75b4844e07f7e91f5a3daae270a3f9428217fa9a6578e0b1999d8442df
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N images, G groups of CG input and OG output channels; S, D, E: stride, dilation and output
//         padding per axis (T, H, W); P: what is cropped on both sides of an axis (front and back,
//         above and below, left and right).
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

// z[n, o, s, x, y] = b[o] + Σ_{c<CG,h<KT,i<KH,j<KW} [DT*h ≤ PF + s] [ST divides PF + s - DT*h]
//     [⌊(PF + s - DT*h)/ST⌋ < T] [DH*i ≤ PT + x] [SH divides PT + x - DH*i] [⌊(PT + x - DH*i)/SH⌋
//     < H] [DW*j ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y - DW*j)/SW⌋ < W] Y[n, CG*⌊o/OG⌋ +
//     c, ⌊(PF + s - DT*h)/ST⌋, ⌊(PT + x - DH*i)/SH⌋, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod
//     OG), h, i, j]
__kernel void conv_transpose3d_z(
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
        const int sum0_q4 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                if (DT * h <= PF + s && (PF + s - DT * h) % ST == 0) {
                    const int sum0_q0 = (PF + s - DT * h) / ST;
                    if (sum0_q0 < T) {
                        REAL sum0_h_i = 0;
                        for (int i = 0; i < KH; i++) {
                            if (DH * i <= PT + x && (PT + x - DH * i) % SH == 0) {
                                const int sum0_q1 = (PT + x - DH * i) / SH;
                                if (sum0_q1 < H) {
                                    REAL sum0_h_i_j = 0;
                                    for (int j = 0; j < KW; j++) {
                                        if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                                            const int sum0_q2 = (PL + y - DW * j) / SW;
                                            if (sum0_q2 < W) {
                                                sum0_h_i_j += Y[(((n * (CG * G) + (CG * sum0_q3 + c)) * T + sum0_q0) * H + sum0_q1) * W + sum0_q2] * w[((((CG * sum0_q3 + c) * OG + sum0_q4) * KT + h) * KH + i) * KW + j];
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
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, q, u, v] = Σ_{o_r<OG,h<KT,i<KH,j<KW} [PF ≤ DT*h + ST*q] [DT*h + ST*q < OT + PF] [PT
//     ≤ DH*i + SH*u] [DH*i + SH*u < OH + PT] [PL ≤ DW*j + SW*v] [DW*j + SW*v < OW + PL] grad_z[n,
//     OG*⌊k/CG⌋ + o_r, DT*h + ST*q - PF, DH*i + SH*u - PT, DW*j + SW*v - PL]*w[CG*⌊k/CG⌋ + (k mod
//     CG), o_r, h, i, j]
__kernel void conv_transpose3d_grad_Y(
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
        const int q = id / W / H % T;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = k / CG;
        const int sum0_q1 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                if (PF <= DT * h + ST * q && DT * h + ST * q < OT + PF) {
                    REAL sum0_h_i = 0;
                    for (int i = 0; i < KH; i++) {
                        if (PT <= DH * i + SH * u && DH * i + SH * u < OH + PT) {
                            REAL sum0_h_i_j = 0;
                            for (int j = 0; j < KW; j++) {
                                if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                                    sum0_h_i_j += grad_z[(((n * (G * OG) + (OG * sum0_q0 + o_r)) * OT + (DT * h + ST * q - PF)) * OH + (DH * i + SH * u - PT)) * OW + (DW * j + SW * v - PL)] * w[((((CG * sum0_q0 + sum0_q1) * OG + o_r) * KT + h) * KH + i) * KW + j];
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
        grad_Y[id] = sum0;
    }
}

// grad_w[p0, og, h, i, j] = Σ_{n<N,q<T,u<H,v<W} [PF ≤ DT*h + ST*q] [DT*h + ST*q < OT + PF] [PT ≤
//     DH*i + SH*u] [DH*i + SH*u < OH + PT] [PL ≤ DW*j + SW*v] [DW*j + SW*v < OW + PL] Y[n,
//     CG*⌊p0/CG⌋ + (p0 mod CG), q, u, v]*grad_z[n, OG*⌊p0/CG⌋ + og, DT*h + ST*q - PF, DH*i + SH*u
//     - PT, DW*j + SW*v - PL]
__kernel void conv_transpose3d_grad_w(
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
        const int p0 = id / KW / KH / KT / OG;
        const int og = id / KW / KH / KT % OG;
        const int h = id / KW / KH % KT;
        const int i = id / KW % KH;
        const int j = id % KW;
        REAL sum0 = 0;
        const int sum0_q0 = p0 / CG;
        const int sum0_q1 = p0 % CG;
        for (int n = 0; n < N; n++) {
            REAL sum0_q = 0;
            for (int q = 0; q < T; q++) {
                if (PF <= DT * h + ST * q && DT * h + ST * q < OT + PF) {
                    REAL sum0_q_u = 0;
                    for (int u = 0; u < H; u++) {
                        if (PT <= DH * i + SH * u && DH * i + SH * u < OH + PT) {
                            REAL sum0_q_u_v = 0;
                            for (int v = 0; v < W; v++) {
                                if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                                    sum0_q_u_v += Y[(((n * (CG * G) + (CG * sum0_q0 + sum0_q1)) * T + q) * H + u) * W + v] * grad_z[(((n * (G * OG) + (OG * sum0_q0 + og)) * OT + (DT * h + ST * q - PF)) * OH + (DH * i + SH * u - PT)) * OW + (DW * j + SW * v - PL)];
                                }
                            }
                            sum0_q_u += sum0_q_u_v;
                        }
                    }
                    sum0_q += sum0_q_u;
                }
            }
            sum0 += sum0_q;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,s<OT,x<OH,y<OW} grad_z[n, o, s, x, y]
__kernel void conv_transpose3d_grad_b(
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

// z[n, o, s, x, y] = Σ_{c<CG,h<KT,i<KH,j<KW} [DT*h ≤ PF + s] [ST divides PF + s - DT*h] [⌊(PF + s
//     - DT*h)/ST⌋ < T] [DH*i ≤ PT + x] [SH divides PT + x - DH*i] [⌊(PT + x - DH*i)/SH⌋ < H] [DW*j
//     ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y - DW*j)/SW⌋ < W] Y[n, CG*⌊o/OG⌋ + c, ⌊(PF + s
//     - DT*h)/ST⌋, ⌊(PT + x - DH*i)/SH⌋, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod OG), h, i,
//     j]
__kernel void conv_transpose3d_without_b_z(
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
        const int sum0_q4 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h = 0;
            for (int h = 0; h < KT; h++) {
                if (DT * h <= PF + s && (PF + s - DT * h) % ST == 0) {
                    const int sum0_q0 = (PF + s - DT * h) / ST;
                    if (sum0_q0 < T) {
                        REAL sum0_h_i = 0;
                        for (int i = 0; i < KH; i++) {
                            if (DH * i <= PT + x && (PT + x - DH * i) % SH == 0) {
                                const int sum0_q1 = (PT + x - DH * i) / SH;
                                if (sum0_q1 < H) {
                                    REAL sum0_h_i_j = 0;
                                    for (int j = 0; j < KW; j++) {
                                        if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                                            const int sum0_q2 = (PL + y - DW * j) / SW;
                                            if (sum0_q2 < W) {
                                                sum0_h_i_j += Y[(((n * (CG * G) + (CG * sum0_q3 + c)) * T + sum0_q0) * H + sum0_q1) * W + sum0_q2] * w[((((CG * sum0_q3 + c) * OG + sum0_q4) * KT + h) * KH + i) * KW + j];
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
        z[id] = sum0;
    }
}

// z[n, o, s, x, y] = b[o] + Σ_{c<CG,h_m<⌊(KT - 1)/ST⌋ + 1,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋
//     + 1} [PL + SW*j_m + y < KW + SW*⌊(PL + y)/SW⌋] [PT + SH*i_m + x < KH + SH*⌊(PT + x)/SH⌋] [PF
//     + ST*h_m + s < KT + ST*⌊(PF + s)/ST⌋] [h_m ≤ ⌊(PF + s)/ST⌋] [⌊(PF + s)/ST⌋ < T + h_m] [i_m ≤
//     ⌊(PT + x)/SH⌋] [⌊(PT + x)/SH⌋ < H + i_m] [j_m ≤ ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m]
//     Y[n, CG*⌊o/OG⌋ + c, ⌊(PF + s)/ST⌋ - h_m, ⌊(PT + x)/SH⌋ - i_m, ⌊(PL + y)/SW⌋ -
//     j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PF + s - ST*(⌊(PF + s)/ST⌋ - h_m), PT + x - SH*(⌊(PT +
//     x)/SH⌋ - i_m), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose3d_z_phases(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
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
    if (id < G * N * OG * OH * OT * OW) {
        const int n = id / OW / OH / OT / (G * OG);
        const int o = id / OW / OH / OT % (G * OG);
        const int s = id / OW / OH % OT;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PF + s, ST);
        const int sum0_q1 = floor_div(PT + x, SH);
        const int sum0_q2 = floor_div(PL + y, SW);
        const int sum0_q3 = (KT - 1) / ST;
        const int sum0_q4 = (KH - 1) / SH;
        const int sum0_q5 = (KW - 1) / SW;
        const int sum0_q6 = o / OG;
        const int sum0_q7 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h_m = 0;
            for (int h_m = 0; h_m < sum0_q3 + 1; h_m++) {
                const int h_q = sum0_q0 - h_m;
                if (0 <= h_q && h_q < T) {
                    const int h = PF + s - ST * h_q;
                    if (h < KT) {
                        REAL sum0_h_m_i_m = 0;
                        for (int i_m = 0; i_m < sum0_q4 + 1; i_m++) {
                            const int i_q = sum0_q1 - i_m;
                            if (0 <= i_q && i_q < H) {
                                const int i = PT + x - SH * i_q;
                                if (i < KH) {
                                    REAL sum0_h_m_i_m_j_m = 0;
                                    for (int j_m = 0; j_m < sum0_q5 + 1; j_m++) {
                                        const int j_q = sum0_q2 - j_m;
                                        if (0 <= j_q && j_q < W) {
                                            const int j = PL + y - SW * j_q;
                                            if (j < KW) {
                                                sum0_h_m_i_m_j_m += Y[(((n * (CG * G) + (CG * sum0_q6 + c)) * T + h_q) * H + i_q) * W + j_q] * w[((((CG * sum0_q6 + c) * OG + sum0_q7) * KT + h) * KH + i) * KW + j];
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
        z[id] = sum0 + b[o];
    }
}

// z[n, o, s, x, y] = Σ_{c<CG,h_m<⌊(KT - 1)/ST⌋ + 1,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1}
//     [PL + SW*j_m + y < KW + SW*⌊(PL + y)/SW⌋] [PT + SH*i_m + x < KH + SH*⌊(PT + x)/SH⌋] [PF +
//     ST*h_m + s < KT + ST*⌊(PF + s)/ST⌋] [h_m ≤ ⌊(PF + s)/ST⌋] [⌊(PF + s)/ST⌋ < T + h_m] [i_m ≤
//     ⌊(PT + x)/SH⌋] [⌊(PT + x)/SH⌋ < H + i_m] [j_m ≤ ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m]
//     Y[n, CG*⌊o/OG⌋ + c, ⌊(PF + s)/ST⌋ - h_m, ⌊(PT + x)/SH⌋ - i_m, ⌊(PL + y)/SW⌋ -
//     j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PF + s - ST*(⌊(PF + s)/ST⌋ - h_m), PT + x - SH*(⌊(PT +
//     x)/SH⌋ - i_m), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose3d_without_b_z_phases(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
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
    if (id < G * N * OG * OH * OT * OW) {
        const int n = id / OW / OH / OT / (G * OG);
        const int o = id / OW / OH / OT % (G * OG);
        const int s = id / OW / OH % OT;
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PF + s, ST);
        const int sum0_q1 = floor_div(PT + x, SH);
        const int sum0_q2 = floor_div(PL + y, SW);
        const int sum0_q3 = (KT - 1) / ST;
        const int sum0_q4 = (KH - 1) / SH;
        const int sum0_q5 = (KW - 1) / SW;
        const int sum0_q6 = o / OG;
        const int sum0_q7 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_h_m = 0;
            for (int h_m = 0; h_m < sum0_q3 + 1; h_m++) {
                const int h_q = sum0_q0 - h_m;
                if (0 <= h_q && h_q < T) {
                    const int h = PF + s - ST * h_q;
                    if (h < KT) {
                        REAL sum0_h_m_i_m = 0;
                        for (int i_m = 0; i_m < sum0_q4 + 1; i_m++) {
                            const int i_q = sum0_q1 - i_m;
                            if (0 <= i_q && i_q < H) {
                                const int i = PT + x - SH * i_q;
                                if (i < KH) {
                                    REAL sum0_h_m_i_m_j_m = 0;
                                    for (int j_m = 0; j_m < sum0_q5 + 1; j_m++) {
                                        const int j_q = sum0_q2 - j_m;
                                        if (0 <= j_q && j_q < W) {
                                            const int j = PL + y - SW * j_q;
                                            if (j < KW) {
                                                sum0_h_m_i_m_j_m += Y[(((n * (CG * G) + (CG * sum0_q6 + c)) * T + h_q) * H + i_q) * W + j_q] * w[((((CG * sum0_q6 + c) * OG + sum0_q7) * KT + h) * KH + i) * KW + j];
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
        z[id] = sum0;
    }
}
