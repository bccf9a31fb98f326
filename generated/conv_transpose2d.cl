// conv_transpose2d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 d6ccbeda757196e1f1bf8630e20f60dd4285c084a0934607ef3293320e537852
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

// z[n, o, x, y] = b[o] + Σ_{c<CG,i<KH,j<KW} [DH*i ≤ PT + x] [SH divides PT + x - DH*i] [⌊(PT + x -
//     DH*i)/SH⌋ < H] [DW*j ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y - DW*j)/SW⌋ < W] Y[n,
//     CG*⌊o/OG⌋ + c, ⌊(PT + x - DH*i)/SH⌋, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod OG), i,
//     j]
__kernel void conv_transpose2d_z(
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
        const int sum0_q3 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                if (DH * i <= PT + x && (PT + x - DH * i) % SH == 0) {
                    const int sum0_q0 = (PT + x - DH * i) / SH;
                    if (sum0_q0 < H) {
                        REAL sum0_i_j = 0;
                        for (int j = 0; j < KW; j++) {
                            if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                                const int sum0_q1 = (PL + y - DW * j) / SW;
                                if (sum0_q1 < W) {
                                    sum0_i_j += Y[((n * (CG * G) + (CG * sum0_q2 + c)) * H + sum0_q0) * W + sum0_q1] * w[(((CG * sum0_q2 + c) * OG + sum0_q3) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i += sum0_i_j;
                    }
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, u, v] = Σ_{o_r<OG,i<KH,j<KW} [PT ≤ DH*i + SH*u] [DH*i + SH*u < OH + PT] [PL ≤ DW*j
//     + SW*v] [DW*j + SW*v < OW + PL] grad_z[n, OG*⌊k/CG⌋ + o_r, DH*i + SH*u - PT, DW*j + SW*v -
//     PL]*w[CG*⌊k/CG⌋ + (k mod CG), o_r, i, j]
__kernel void conv_transpose2d_grad_Y(
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
        const int sum0_q0 = k / CG;
        const int sum0_q1 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                if (PT <= DH * i + SH * u && DH * i + SH * u < OH + PT) {
                    REAL sum0_i_j = 0;
                    for (int j = 0; j < KW; j++) {
                        if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                            sum0_i_j += grad_z[((n * (G * OG) + (OG * sum0_q0 + o_r)) * OH + (DH * i + SH * u - PT)) * OW + (DW * j + SW * v - PL)] * w[(((CG * sum0_q0 + sum0_q1) * OG + o_r) * KH + i) * KW + j];
                        }
                    }
                    sum0_i += sum0_i_j;
                }
            }
            sum0 += sum0_i;
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[p0, og, i, j] = Σ_{n<N,u<H,v<W} [PT ≤ DH*i + SH*u] [DH*i + SH*u < OH + PT] [PL ≤ DW*j +
//     SW*v] [DW*j + SW*v < OW + PL] Y[n, CG*⌊p0/CG⌋ + (p0 mod CG), u, v]*grad_z[n, OG*⌊p0/CG⌋ +
//     og, DH*i + SH*u - PT, DW*j + SW*v - PL]
__kernel void conv_transpose2d_grad_w(
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
        const int p0 = id / KW / KH / OG;
        const int og = id / KW / KH % OG;
        const int i = id / KW % KH;
        const int j = id % KW;
        REAL sum0 = 0;
        const int sum0_q0 = p0 / CG;
        const int sum0_q1 = p0 % CG;
        for (int n = 0; n < N; n++) {
            REAL sum0_u = 0;
            for (int u = 0; u < H; u++) {
                if (PT <= DH * i + SH * u && DH * i + SH * u < OH + PT) {
                    REAL sum0_u_v = 0;
                    for (int v = 0; v < W; v++) {
                        if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                            sum0_u_v += Y[((n * (CG * G) + (CG * sum0_q0 + sum0_q1)) * H + u) * W + v] * grad_z[((n * (G * OG) + (OG * sum0_q0 + og)) * OH + (DH * i + SH * u - PT)) * OW + (DW * j + SW * v - PL)];
                        }
                    }
                    sum0_u += sum0_u_v;
                }
            }
            sum0 += sum0_u;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,x<OH,y<OW} grad_z[n, o, x, y]
__kernel void conv_transpose2d_grad_b(
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

// z[n, o, x, y] = Σ_{c<CG,i<KH,j<KW} [DH*i ≤ PT + x] [SH divides PT + x - DH*i] [⌊(PT + x -
//     DH*i)/SH⌋ < H] [DW*j ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y - DW*j)/SW⌋ < W] Y[n,
//     CG*⌊o/OG⌋ + c, ⌊(PT + x - DH*i)/SH⌋, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod OG), i,
//     j]
__kernel void conv_transpose2d_without_b_z(
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
        const int sum0_q3 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < KH; i++) {
                if (DH * i <= PT + x && (PT + x - DH * i) % SH == 0) {
                    const int sum0_q0 = (PT + x - DH * i) / SH;
                    if (sum0_q0 < H) {
                        REAL sum0_i_j = 0;
                        for (int j = 0; j < KW; j++) {
                            if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                                const int sum0_q1 = (PL + y - DW * j) / SW;
                                if (sum0_q1 < W) {
                                    sum0_i_j += Y[((n * (CG * G) + (CG * sum0_q2 + c)) * H + sum0_q0) * W + sum0_q1] * w[(((CG * sum0_q2 + c) * OG + sum0_q3) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i += sum0_i_j;
                    }
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0;
    }
}

// z[n, o, x, y] = b[o] + Σ_{c<CG,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + y <
//     KW + SW*⌊(PL + y)/SW⌋] [PT + SH*i_m + x < KH + SH*⌊(PT + x)/SH⌋] [i_m ≤ ⌊(PT + x)/SH⌋] [⌊(PT
//     + x)/SH⌋ < H + i_m] [j_m ≤ ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m] Y[n, CG*⌊o/OG⌋ + c, ⌊(PT
//     + x)/SH⌋ - i_m, ⌊(PL + y)/SW⌋ - j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PT + x - SH*(⌊(PT + x)/SH⌋
//     - i_m), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose2d_z_phases(
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
        const int sum0_q0 = floor_div(PT + x, SH);
        const int sum0_q1 = floor_div(PL + y, SW);
        const int sum0_q2 = (KH - 1) / SH;
        const int sum0_q3 = (KW - 1) / SW;
        const int sum0_q4 = o / OG;
        const int sum0_q5 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i_m = 0;
            for (int i_m = 0; i_m < sum0_q2 + 1; i_m++) {
                const int i_q = sum0_q0 - i_m;
                if (0 <= i_q && i_q < H) {
                    const int i = PT + x - SH * i_q;
                    if (i < KH) {
                        REAL sum0_i_m_j_m = 0;
                        for (int j_m = 0; j_m < sum0_q3 + 1; j_m++) {
                            const int j_q = sum0_q1 - j_m;
                            if (0 <= j_q && j_q < W) {
                                const int j = PL + y - SW * j_q;
                                if (j < KW) {
                                    sum0_i_m_j_m += Y[((n * (CG * G) + (CG * sum0_q4 + c)) * H + i_q) * W + j_q] * w[(((CG * sum0_q4 + c) * OG + sum0_q5) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i_m += sum0_i_m_j_m;
                    }
                }
            }
            sum0 += sum0_i_m;
        }
        z[id] = sum0 + b[o];
    }
}

// z[n, o, x, y] = Σ_{c<CG,i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + y < KW +
//     SW*⌊(PL + y)/SW⌋] [PT + SH*i_m + x < KH + SH*⌊(PT + x)/SH⌋] [i_m ≤ ⌊(PT + x)/SH⌋] [⌊(PT +
//     x)/SH⌋ < H + i_m] [j_m ≤ ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m] Y[n, CG*⌊o/OG⌋ + c, ⌊(PT +
//     x)/SH⌋ - i_m, ⌊(PL + y)/SW⌋ - j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PT + x - SH*(⌊(PT + x)/SH⌋ -
//     i_m), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose2d_without_b_z_phases(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
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
    if (id < G * N * OG * OH * OW) {
        const int n = id / OW / OH / (G * OG);
        const int o = id / OW / OH % (G * OG);
        const int x = id / OW % OH;
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PT + x, SH);
        const int sum0_q1 = floor_div(PL + y, SW);
        const int sum0_q2 = (KH - 1) / SH;
        const int sum0_q3 = (KW - 1) / SW;
        const int sum0_q4 = o / OG;
        const int sum0_q5 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i_m = 0;
            for (int i_m = 0; i_m < sum0_q2 + 1; i_m++) {
                const int i_q = sum0_q0 - i_m;
                if (0 <= i_q && i_q < H) {
                    const int i = PT + x - SH * i_q;
                    if (i < KH) {
                        REAL sum0_i_m_j_m = 0;
                        for (int j_m = 0; j_m < sum0_q3 + 1; j_m++) {
                            const int j_q = sum0_q1 - j_m;
                            if (0 <= j_q && j_q < W) {
                                const int j = PL + y - SW * j_q;
                                if (j < KW) {
                                    sum0_i_m_j_m += Y[((n * (CG * G) + (CG * sum0_q4 + c)) * H + i_q) * W + j_q] * w[(((CG * sum0_q4 + c) * OG + sum0_q5) * KH + i) * KW + j];
                                }
                            }
                        }
                        sum0_i_m += sum0_i_m_j_m;
                    }
                }
            }
            sum0 += sum0_i_m;
        }
        z[id] = sum0;
    }
}
