// upsample_linear: generated from its definition, do not edit.
// Certificates: proofs/, sha256 dcd742e3386626531e52dc39d2563bf4e5b2e6fe2f52086f22aea32130b7c20d
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// Along H of an array C x H x K, to OH elements.
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

// z[i, x, j] = [A*x + B < 0] (1 - ((A*x + B) mod M)/M)*Y[i, 0, j] + [H*M ≤ A*x + B + M] ((A*x + B)
//     mod M)*Y[i, H - 1, j]/M + [0 ≤ ⌊(A*x + B)/M⌋ + 1] [⌊(A*x + B)/M⌋ + 1 < H] ((A*x + B) mod
//     M)*Y[i, ⌊(A*x + B)/M⌋ + 1, j]/M + [0 ≤ ⌊(A*x + B)/M⌋] [⌊(A*x + B)/M⌋ < H] (1 - ((A*x + B)
//     mod M)/M)*Y[i, ⌊(A*x + B)/M⌋, j]
__kernel void upsample_linear_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int K = SIZE_K;
    const int M = SIZE_M;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < C * K * OH) {
        const int i = id / K / OH;
        const int x = id / K % OH;
        const int j = id % K;
        REAL sum0 = 0;
        if (A * x + B < 0) {
            const int sum0_q0 = floor_mod(A * x + B, M);
            sum0 += ((REAL)1 - (REAL)sum0_q0 / (REAL)M) * Y[(i * H + 0) * K + j];
        }
        REAL sum1 = 0;
        if (H * M <= A * x + B + M) {
            const int sum1_q0 = (A * x + B) % M;
            sum1 += (REAL)sum1_q0 * Y[(i * H + (H - 1)) * K + j] / (REAL)M;
        }
        REAL sum2 = 0;
        const int sum2_q0 = floor_div(A * x + B, M);
        if (0 <= sum2_q0 + 1 && sum2_q0 + 1 < H) {
            const int sum2_q1 = floor_mod(A * x + B, M);
            sum2 += (REAL)sum2_q1 * Y[(i * H + (sum2_q0 + 1)) * K + j] / (REAL)M;
        }
        REAL sum3 = 0;
        const int sum3_q0 = floor_div(A * x + B, M);
        if (0 <= sum3_q0 && sum3_q0 < H) {
            const int sum3_q1 = floor_mod(A * x + B, M);
            sum3 += ((REAL)1 - (REAL)sum3_q1 / (REAL)M) * Y[(i * H + sum3_q0) * K + j];
        }
        z[id] = sum0 + sum1 + sum2 + sum3;
    }
}

// grad_Y[c, u, k] = Σ_{x<OH} [A*x + B < 0] [0 = u] (1 - ((A*x + B) mod M)/M)*grad_z[c, x, k] +
//     Σ_{x_k<⌊(M - 1)/A⌋ + 1} [0 ≤ x_k + ⌊(M*u - B - 1)/A⌋ + 1] [A*x_k + A*⌊(M*u - B - 1)/A⌋ + A +
//     B < M*u + M] [x_k + ⌊(M*u - B - 1)/A⌋ + 1 < OH] (1 - ((A*(x_k + ⌊(M*u - B - 1)/A⌋ + 1) + B)
//     mod M)/M)*grad_z[c, x_k + ⌊(M*u - B - 1)/A⌋ + 1, k] + Σ_{x<OH} [H*M ≤ A*x + B + M] [H = u +
//     1] ((A*x + B) mod M)*grad_z[c, x, k]/M + Σ_{x_k<⌊(M - 1)/A⌋ + 1} [0 ≤ x_k + ⌊(M*u - B - M -
//     1)/A⌋ + 1] [A*x_k + A*⌊(M*u - B - M - 1)/A⌋ + A + B < M*u] [x_k + ⌊(M*u - B - M - 1)/A⌋ + 1
//     < OH] ((A*(x_k + ⌊(M*u - B - M - 1)/A⌋ + 1) + B) mod M)*grad_z[c, x_k + ⌊(M*u - B - M -
//     1)/A⌋ + 1, k]/M
__kernel void upsample_linear_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int A = SIZE_A;
    const int B = SIZE_B;
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int K = SIZE_K;
    const int M = SIZE_M;
    const int OH = SIZE_OH;
    const int id = get_global_id(0);
    if (id < C * H * K) {
        const int c = id / K / H;
        const int u = id / K % H;
        const int k = id % K;
        REAL sum0 = 0;
        if (0 == u) {
            for (int x = 0; x < OH; x++) {
                if (A * x + B < 0) {
                    const int sum0_q0 = floor_mod(A * x + B, M);
                    sum0 += ((REAL)1 - (REAL)sum0_q0 / (REAL)M) * grad_z[(c * OH + x) * K + k];
                }
            }
        }
        REAL sum1 = 0;
        if (H == u + 1) {
            for (int x = 0; x < OH; x++) {
                if (H * M <= A * x + B + M) {
                    const int sum1_q0 = (A * x + B) % M;
                    sum1 += (REAL)sum1_q0 * grad_z[(c * OH + x) * K + k];
                }
            }
        }
        REAL sum2 = 0;
        const int sum2_q0 = floor_div(M * u - B - 1, A);
        const int sum2_q1 = (M - 1) / A;
        for (int x_k = 0; x_k < sum2_q1 + 1; x_k++) {
            if (0 <= sum2_q0 + x_k + 1 && A * sum2_q0 + A * x_k + A + B < M * u + M && sum2_q0 + x_k + 1 < OH) {
                sum2 += ((REAL)1 - (REAL)(floor_mod(A * (sum2_q0 + x_k + 1) + B, M)) / (REAL)M) * grad_z[(c * OH + (sum2_q0 + x_k + 1)) * K + k];
            }
        }
        REAL sum3 = 0;
        const int sum3_q0 = floor_div(M * u - B - M - 1, A);
        const int sum3_q1 = (M - 1) / A;
        for (int x_k = 0; x_k < sum3_q1 + 1; x_k++) {
            if (0 <= sum3_q0 + x_k + 1 && A * sum3_q0 + A * x_k + A + B < M * u && sum3_q0 + x_k + 1 < OH) {
                sum3 += (REAL)(floor_mod(A * (sum3_q0 + x_k + 1) + B, M)) * grad_z[(c * OH + (sum3_q0 + x_k + 1)) * K + k];
            }
        }
        grad_Y[id] = sum0 + sum2 + sum1 / (REAL)M + sum3 / (REAL)M;
    }
}
