// conv_transpose1d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 97d3cd67de32124c3ac04f7340ef77ea04b30e0d6b32d8301956c7e126988c5d
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

// z[n, o, y] = b[o] + Σ_{c<CG,j<KW} [DW*j ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y -
//     DW*j)/SW⌋ < W] Y[n, CG*⌊o/OG⌋ + c, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod OG), j]
__kernel void conv_transpose1d_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OW) {
        const int n = id / OW / (G * OG);
        const int o = id / OW % (G * OG);
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q1 = o / OG;
        const int sum0_q2 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_j = 0;
            for (int j = 0; j < KW; j++) {
                if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                    const int sum0_q0 = (PL + y - DW * j) / SW;
                    if (sum0_q0 < W) {
                        sum0_j += Y[(n * (CG * G) + (CG * sum0_q1 + c)) * W + sum0_q0] * w[((CG * sum0_q1 + c) * OG + sum0_q2) * KW + j];
                    }
                }
            }
            sum0 += sum0_j;
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, v] = Σ_{o_r<OG,j<KW} [PL ≤ DW*j + SW*v] [DW*j + SW*v < OW + PL] grad_z[n, OG*⌊k/CG⌋
//     + o_r, DW*j + SW*v - PL]*w[CG*⌊k/CG⌋ + (k mod CG), o_r, j]
__kernel void conv_transpose1d_grad_Y(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * G * N * W) {
        const int n = id / W / (CG * G);
        const int k = id / W % (CG * G);
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = k / CG;
        const int sum0_q1 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_j = 0;
            for (int j = 0; j < KW; j++) {
                if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                    sum0_j += grad_z[(n * (G * OG) + (OG * sum0_q0 + o_r)) * OW + (DW * j + SW * v - PL)] * w[((CG * sum0_q0 + sum0_q1) * OG + o_r) * KW + j];
                }
            }
            sum0 += sum0_j;
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[p0, og, j] = Σ_{n<N,v<W} [PL ≤ DW*j + SW*v] [DW*j + SW*v < OW + PL] Y[n, CG*⌊p0/CG⌋ + (p0
//     mod CG), v]*grad_z[n, OG*⌊p0/CG⌋ + og, DW*j + SW*v - PL]
__kernel void conv_transpose1d_grad_w(
    __global const REAL *restrict Y,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < CG * G * KW * OG) {
        const int p0 = id / KW / OG;
        const int og = id / KW % OG;
        const int j = id % KW;
        REAL sum0 = 0;
        const int sum0_q0 = p0 / CG;
        const int sum0_q1 = p0 % CG;
        for (int n = 0; n < N; n++) {
            REAL sum0_v = 0;
            for (int v = 0; v < W; v++) {
                if (PL <= DW * j + SW * v && DW * j + SW * v < OW + PL) {
                    sum0_v += Y[(n * (CG * G) + (CG * sum0_q0 + sum0_q1)) * W + v] * grad_z[(n * (G * OG) + (OG * sum0_q0 + og)) * OW + (DW * j + SW * v - PL)];
                }
            }
            sum0 += sum0_v;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,y<OW} grad_z[n, o, y]
__kernel void conv_transpose1d_grad_b(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_b,
    __global const int *restrict sizes)
{
    const int G = SIZE_G;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * OG) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_y = 0;
            for (int y = 0; y < OW; y++) {
                sum0_y += grad_z[(n * (G * OG) + o) * OW + y];
            }
            sum0 += sum0_y;
        }
        grad_b[id] = sum0;
    }
}

// z[n, o, y] = Σ_{c<CG,j<KW} [DW*j ≤ PL + y] [SW divides PL + y - DW*j] [⌊(PL + y - DW*j)/SW⌋ < W]
//     Y[n, CG*⌊o/OG⌋ + c, ⌊(PL + y - DW*j)/SW⌋]*w[CG*⌊o/OG⌋ + c, (o mod OG), j]
__kernel void conv_transpose1d_without_b_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int DW = SIZE_DW;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OW) {
        const int n = id / OW / (G * OG);
        const int o = id / OW % (G * OG);
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q1 = o / OG;
        const int sum0_q2 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_j = 0;
            for (int j = 0; j < KW; j++) {
                if (DW * j <= PL + y && (PL + y - DW * j) % SW == 0) {
                    const int sum0_q0 = (PL + y - DW * j) / SW;
                    if (sum0_q0 < W) {
                        sum0_j += Y[(n * (CG * G) + (CG * sum0_q1 + c)) * W + sum0_q0] * w[((CG * sum0_q1 + c) * OG + sum0_q2) * KW + j];
                    }
                }
            }
            sum0 += sum0_j;
        }
        z[id] = sum0;
    }
}

// z[n, o, y] = b[o] + Σ_{c<CG,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + y < KW + SW*⌊(PL + y)/SW⌋]
//     [j_m ≤ ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m] Y[n, CG*⌊o/OG⌋ + c, ⌊(PL + y)/SW⌋ -
//     j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose1d_z_phases(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OW) {
        const int n = id / OW / (G * OG);
        const int o = id / OW % (G * OG);
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PL + y, SW);
        const int sum0_q1 = (KW - 1) / SW;
        const int sum0_q2 = o / OG;
        const int sum0_q3 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_j_m = 0;
            for (int j_m = 0; j_m < sum0_q1 + 1; j_m++) {
                const int j_q = sum0_q0 - j_m;
                if (0 <= j_q && j_q < W) {
                    const int j = PL + y - SW * j_q;
                    if (j < KW) {
                        sum0_j_m += Y[(n * (CG * G) + (CG * sum0_q2 + c)) * W + j_q] * w[((CG * sum0_q2 + c) * OG + sum0_q3) * KW + j];
                    }
                }
            }
            sum0 += sum0_j_m;
        }
        z[id] = sum0 + b[o];
    }
}

// z[n, o, y] = Σ_{c<CG,j_m<⌊(KW - 1)/SW⌋ + 1} [PL + SW*j_m + y < KW + SW*⌊(PL + y)/SW⌋] [j_m ≤
//     ⌊(PL + y)/SW⌋] [⌊(PL + y)/SW⌋ < W + j_m] Y[n, CG*⌊o/OG⌋ + c, ⌊(PL + y)/SW⌋ -
//     j_m]*w[CG*⌊o/OG⌋ + c, (o mod OG), PL + y - SW*(⌊(PL + y)/SW⌋ - j_m)]
__kernel void conv_transpose1d_without_b_z_phases(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int KW = SIZE_KW;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int SW = SIZE_SW;
    const int W = SIZE_W;
    const int OW = SIZE_OW;
    const int id = get_global_id(0);
    if (id < G * N * OG * OW) {
        const int n = id / OW / (G * OG);
        const int o = id / OW % (G * OG);
        const int y = id % OW;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PL + y, SW);
        const int sum0_q1 = (KW - 1) / SW;
        const int sum0_q2 = o / OG;
        const int sum0_q3 = o % OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_j_m = 0;
            for (int j_m = 0; j_m < sum0_q1 + 1; j_m++) {
                const int j_q = sum0_q0 - j_m;
                if (0 <= j_q && j_q < W) {
                    const int j = PL + y - SW * j_q;
                    if (j < KW) {
                        sum0_j_m += Y[(n * (CG * G) + (CG * sum0_q2 + c)) * W + j_q] * w[((CG * sum0_q2 + c) * OG + sum0_q3) * KW + j];
                    }
                }
            }
            sum0 += sum0_j_m;
        }
        z[id] = sum0;
    }
}
