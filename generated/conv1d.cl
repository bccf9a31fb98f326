// conv1d: generated from its definition, do not edit.
// Certificates: proofs/, sha256 152d305c7379541b26cd044aeb443b3ce1800a2407d9531e2142c076e726abb1
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N signals, G groups of CG input and OG output channels, L positions, K taps; S, D: stride and
//     dilation; PL, PR: padding before and after.
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

// z[n, o, x] = b[o] + Σ_{c<CG,i<K} Y[n, CG*⌊o/OG⌋ + c, D*i + S*x - PL]*w[o, c, i]
__kernel void conv1d_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global const REAL *restrict b,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int G = SIZE_G;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < G * N * OG * OL) {
        const int n = id / OL / (G * OG);
        const int o = id / OL % (G * OG);
        const int x = id % OL;
        REAL sum0 = 0;
        const int sum0_q1 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < K; i++) {
                const int sum0_u0 = D * i + S * x - PL;
                if (0 <= sum0_u0 && sum0_u0 < L) {
                    sum0_i += Y[(n * (CG * G) + (CG * sum0_q1 + c)) * L + sum0_u0] * w[(o * CG + c) * K + i];
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0 + b[o];
    }
}

// grad_Y[n, k, u] = Σ_{o_r<OG,i<K} [D*i ≤ PL + u] [S divides PL + u - D*i] [⌊(PL + u - D*i)/S⌋ <
//     OL] grad_z[n, OG*⌊k/CG⌋ + o_r, ⌊(PL + u - D*i)/S⌋]*w[OG*⌊k/CG⌋ + o_r, (k mod CG), i]
__kernel void conv1d_grad_Y(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int G = SIZE_G;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / (CG * G);
        const int k = id / L % (CG * G);
        const int u = id % L;
        REAL sum0 = 0;
        const int sum0_q1 = k / CG;
        const int sum0_q2 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_i = 0;
            for (int i = 0; i < K; i++) {
                if (D * i <= PL + u && (PL + u - D * i) % S == 0) {
                    const int sum0_q0 = (PL + u - D * i) / S;
                    if (sum0_q0 < OL) {
                        sum0_i += grad_z[(n * (G * OG) + (OG * sum0_q1 + o_r)) * OL + sum0_q0] * w[((OG * sum0_q1 + o_r) * CG + sum0_q2) * K + i];
                    }
                }
            }
            sum0 += sum0_i;
        }
        grad_Y[id] = sum0;
    }
}

// grad_w[o, c, i] = Σ_{n<N,x<OL} Y[n, CG*⌊o/OG⌋ + c, D*i + S*x - PL]*grad_z[n, o, x]
__kernel void conv1d_grad_w(
    __global const REAL *restrict Y,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_w,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int G = SIZE_G;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < CG * G * K * OG) {
        const int o = id / K / CG;
        const int c = id / K % CG;
        const int i = id % K;
        REAL sum0 = 0;
        const int sum0_q1 = o / OG;
        for (int n = 0; n < N; n++) {
            REAL sum0_x = 0;
            for (int x = 0; x < OL; x++) {
                const int sum0_u0 = D * i + S * x - PL;
                if (0 <= sum0_u0 && sum0_u0 < L) {
                    sum0_x += Y[(n * (CG * G) + (CG * sum0_q1 + c)) * L + sum0_u0] * grad_z[(n * (G * OG) + o) * OL + x];
                }
            }
            sum0 += sum0_x;
        }
        grad_w[id] = sum0;
    }
}

// grad_b[o] = Σ_{n<N,x<OL} grad_z[n, o, x]
__kernel void conv1d_grad_b(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_b,
    __global const int *restrict sizes)
{
    const int G = SIZE_G;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < G * OG) {
        const int o = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_x = 0;
            for (int x = 0; x < OL; x++) {
                sum0_x += grad_z[(n * (G * OG) + o) * OL + x];
            }
            sum0 += sum0_x;
        }
        grad_b[id] = sum0;
    }
}

// z[n, o, x] = Σ_{c<CG,i<K} Y[n, CG*⌊o/OG⌋ + c, D*i + S*x - PL]*w[o, c, i]
__kernel void conv1d_without_b_z(
    __global const REAL *restrict Y,
    __global const REAL *restrict w,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int D = SIZE_D;
    const int G = SIZE_G;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < G * N * OG * OL) {
        const int n = id / OL / (G * OG);
        const int o = id / OL % (G * OG);
        const int x = id % OL;
        REAL sum0 = 0;
        const int sum0_q1 = o / OG;
        for (int c = 0; c < CG; c++) {
            REAL sum0_i = 0;
            for (int i = 0; i < K; i++) {
                const int sum0_u0 = D * i + S * x - PL;
                if (0 <= sum0_u0 && sum0_u0 < L) {
                    sum0_i += Y[(n * (CG * G) + (CG * sum0_q1 + c)) * L + sum0_u0] * w[(o * CG + c) * K + i];
                }
            }
            sum0 += sum0_i;
        }
        z[id] = sum0;
    }
}

// grad_Y[n, k, u] = Σ_{o_r<OG,i_m<⌊(K - 1)/S⌋ + 1} [PL + S*i_m + u < K + S*⌊(PL + u)/S⌋] [i_m ≤
//     ⌊(PL + u)/S⌋] [⌊(PL + u)/S⌋ < OL + i_m] grad_z[n, OG*⌊k/CG⌋ + o_r, ⌊(PL + u)/S⌋ -
//     i_m]*w[OG*⌊k/CG⌋ + o_r, (k mod CG), PL + u - S*(⌊(PL + u)/S⌋ - i_m)]
__kernel void conv1d_grad_Y_phases(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int K = SIZE_K;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int OG = SIZE_OG;
    const int PL = SIZE_PL;
    const int S = SIZE_S;
    const int OL = SIZE_OL;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / (CG * G);
        const int k = id / L % (CG * G);
        const int u = id % L;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(PL + u, S);
        const int sum0_q1 = (K - 1) / S;
        const int sum0_q2 = k / CG;
        const int sum0_q3 = k % CG;
        for (int o_r = 0; o_r < OG; o_r++) {
            REAL sum0_i_m = 0;
            for (int i_m = 0; i_m < sum0_q1 + 1; i_m++) {
                const int i_q = sum0_q0 - i_m;
                if (0 <= i_q && i_q < OL) {
                    const int i = PL + u - S * i_q;
                    if (i < K) {
                        sum0_i_m += grad_z[(n * (G * OG) + (OG * sum0_q2 + o_r)) * OL + i_q] * w[((OG * sum0_q2 + o_r) * CG + sum0_q3) * K + i];
                    }
                }
            }
            sum0 += sum0_i_m;
        }
        grad_Y[id] = sum0;
    }
}
