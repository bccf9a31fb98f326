// upsample_nearest: generated from its definition, do not edit.
// Certificates: proofs/, sha256 561fae70dda182893cd4a2d0712a74cffe725625afe5d1f9b7113709300a9ea5
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// C images of H x W to OH x OW pixels.
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

// z[i, x, y] = Y[i, ⌊(H*x)/OH⌋, ⌊(W*y)/OW⌋]
__kernel void upsample_nearest_z(
    __global const REAL *restrict Y,
    __global REAL *restrict z,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int W = SIZE_W;
    const int id = get_global_id(0);
    if (id < C * OH * OW) {
        const int i = id / OW / OH;
        const int x = id / OW % OH;
        const int y = id % OW;
        z[id] = Y[(i * H + H * x / OH) * W + W * y / OW];
    }
}

// grad_Y[c, u, v] = Σ_{x_k<⌊(OH - 1)/H⌋ + 1,y_k<⌊(OW - 1)/W⌋ + 1} [0 ≤ x_k + ⌊(OH*u - 1)/H⌋ + 1]
//     [H*x_k + H*⌊(OH*u - 1)/H⌋ + H < OH*u + OH] [x_k + ⌊(OH*u - 1)/H⌋ + 1 < OH] [0 ≤ y_k + ⌊(OW*v
//     - 1)/W⌋ + 1] [W*y_k + W*⌊(OW*v - 1)/W⌋ + W < OW*v + OW] [y_k + ⌊(OW*v - 1)/W⌋ + 1 < OW]
//     grad_z[c, x_k + ⌊(OH*u - 1)/H⌋ + 1, y_k + ⌊(OW*v - 1)/W⌋ + 1]
__kernel void upsample_nearest_grad_Y(
    __global const REAL *restrict grad_z,
    __global REAL *restrict grad_Y,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int H = SIZE_H;
    const int OH = SIZE_OH;
    const int OW = SIZE_OW;
    const int W = SIZE_W;
    const int id = get_global_id(0);
    if (id < C * H * W) {
        const int c = id / W / H;
        const int u = id / W % H;
        const int v = id % W;
        REAL sum0 = 0;
        const int sum0_q0 = floor_div(OH * u - 1, H);
        const int sum0_q1 = floor_div(OW * v - 1, W);
        const int sum0_q2 = (OH - 1) / H;
        const int sum0_q3 = (OW - 1) / W;
        for (int x_k = 0; x_k < sum0_q2 + 1; x_k++) {
            if (0 <= sum0_q0 + x_k + 1 && H * sum0_q0 + H * x_k + H < OH * u + OH && sum0_q0 + x_k + 1 < OH) {
                REAL sum0_y_k = 0;
                for (int y_k = 0; y_k < sum0_q3 + 1; y_k++) {
                    if (0 <= sum0_q1 + y_k + 1 && W * sum0_q1 + W * y_k + W < OW * v + OW && sum0_q1 + y_k + 1 < OW) {
                        sum0_y_k += grad_z[(c * OH + (sum0_q0 + x_k + 1)) * OW + (sum0_q1 + y_k + 1)];
                    }
                }
                sum0 += sum0_y_k;
            }
        }
        grad_Y[id] = sum0;
    }
}
