// max_pool2d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 b41792d43cf7c7f258636114f9691d8de79596c3a5d0bf5ed3cb47a1874cefa3
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Windows of KH x KW taps; strides, dilations and paddings as in conv2d.
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

// z[n, c, x, y] = max_{i<KH,j<KW} Y[n, c, DH*i + SH*x - PT, DW*j + SW*y - PL]
__kernel void max_pool2d_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
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
        REAL max0 = -INFINITY;
        for (int i = 0; i < KH; i++) {
            const int max0_u0 = DH * i + SH * x - PT;
            if (0 <= max0_u0 && max0_u0 < H) {
                for (int j = 0; j < KW; j++) {
                    const int max0_u1 = DW * j + SW * y - PL;
                    if (0 <= max0_u1 && max0_u1 < W) {
                        const REAL term = Y[((n * C + c) * H + max0_u0) * W + max0_u1];
                        if (term > max0 || term != term) {
                            max0 = term;
                        }
                    }
                }
            }
        }
        z[id] = max0;
    }
}

// z_argmax[n, c, x, y] = argmax_{i<KH,j<KW} Y[n, c, DH*i + SH*x - PT, DW*j + SW*y - PL]
__kernel void max_pool2d_z_argmax(
    __global const REAL *restrict Y,
    __global int *restrict z_argmax,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
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
        int argmax0 = -1;
        REAL argmax0_value = -INFINITY;
        for (int i = 0; i < KH; i++) {
            const int argmax0_u0 = DH * i + SH * x - PT;
            if (0 <= argmax0_u0 && argmax0_u0 < H) {
                for (int j = 0; j < KW; j++) {
                    const int argmax0_u1 = DW * j + SW * y - PL;
                    if (0 <= argmax0_u1 && argmax0_u1 < W) {
                        const REAL term = Y[((n * C + c) * H + argmax0_u0) * W + argmax0_u1];
                        if (argmax0 < 0 || term > argmax0_value || (term != term && argmax0_value == argmax0_value)) {
                            argmax0_value = term;
                            argmax0 = KW * i + j;
                        }
                    }
                }
            }
        }
        z_argmax[id] = argmax0;
    }
}

// grad_Y[n, c, u, v] = Σ_{i<KH,j<KW} [DH*i ≤ PT + u] [SH divides PT + u - DH*i] [⌊(PT + u -
//     DH*i)/SH⌋ < OH] [DW*j ≤ PL + v] [SW divides PL + v - DW*j] [⌊(PL + v - DW*j)/SW⌋ < OW]
//     [z_argmax[n, c, ⌊(PT + u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋] = KW*i + j] grad_z[n, c, ⌊(PT +
//     u - DH*i)/SH⌋, ⌊(PL + v - DW*j)/SW⌋]
__kernel void max_pool2d_grad_Y(
    __global const int *restrict z_argmax,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int DH = SIZE_DH;
    const int DW = SIZE_DW;
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
            if (DH * i <= PT + u && (PT + u - DH * i) % SH == 0) {
                const int sum0_q0 = (PT + u - DH * i) / SH;
                if (sum0_q0 < OH) {
                    REAL sum0_j = 0;
                    for (int j = 0; j < KW; j++) {
                        if (DW * j <= PL + v && (PL + v - DW * j) % SW == 0) {
                            const int sum0_q1 = (PL + v - DW * j) / SW;
                            if (sum0_q1 < OW && z_argmax[((n * C + c) * OH + sum0_q0) * OW + sum0_q1] == KW * i + j) {
                                sum0_j += grad_z[((n * C + c) * OH + sum0_q0) * OW + sum0_q1];
                            }
                        }
                    }
                    sum0 += sum0_j;
                }
            }
        }
        grad_Y[id] = sum0;
    }
}

// grad_Y[n, c, u, v] = Σ_{i_m<⌊(KH - 1)/SH⌋ + 1,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + v < KW +
//     SW*⌊(PL + v)/SW⌋] [PT + SH*i_m + u < KH + SH*⌊(PT + u)/SH⌋] [i_m ≤ ⌊(PT + u)/SH⌋] [⌊(PT +
//     u)/SH⌋ < OH + i_m] [j_m ≤ ⌊(PL + v)/SW⌋] [⌊(PL + v)/SW⌋ < OW + j_m] [KW*SH*⌊(PT + u)/SH⌋ +
//     SW*⌊(PL + v)/SW⌋ + z_argmax[n, c, ⌊(PT + u)/SH⌋ - i_m, ⌊(PL + v)/SW⌋ - j_m] = KW*PT +
//     KW*SH*i_m + KW*u + PL + SW*j_m + v] grad_z[n, c, ⌊(PT + u)/SH⌋ - i_m, ⌊(PL + v)/SW⌋ - j_m]
__kernel void max_pool2d_grad_Y_phases(
    __global const int *restrict z_argmax,
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
                            if (j < KW && z_argmax[((n * C + c) * OH + i_q) * OW + j_q] == KW * i + j) {
                                sum0_j_m += grad_z[((n * C + c) * OH + i_q) * OW + j_q];
                            }
                        }
                    }
                    sum0 += sum0_j_m;
                }
            }
        }
        grad_Y[id] = sum0;
    }
}
