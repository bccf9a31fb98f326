// batch_norm_inference: generated from its definition, do not edit.
// Certificates: proofs/, sha256 78a0c4e943b26f4f5c5ba7593a91f206aae7959a89a87a142735a2c812f02421
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// With the running mean and variance in place of the batch's.
#pragma OPENCL FP_CONTRACT ON

// y[n, c, l] = beta[c] + (X[n, c, l] - mean[c])*gamma[c]/sqrt(eps + var[c])
__kernel void batch_norm_inference_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        y[id] = beta[c] + (X[(n * C + c) * L + l] - mean[c]) * gamma[c] / sqrt(eps + var[c]);
    }
}

// grad_X[n, c, l] = gamma[c]*grad_y[n, c, l]/sqrt(eps + var[c])
__kernel void batch_norm_inference_grad_X(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_X,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        grad_X[id] = gamma[c] * grad_y[(n * C + c) * L + l] / sqrt(eps + var[c]);
    }
}

// grad_gamma[c] = Σ_{n<N,l<L} (X[n, c, l] - mean[c])*grad_y[n, c, l]/sqrt(eps + var[c])
__kernel void batch_norm_inference_grad_gamma(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_gamma,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C) {
        const int c = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += (X[(n * C + c) * L + l] - mean[c]) * grad_y[(n * C + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_gamma[id] = sum0 / sqrt(eps + var[c]);
    }
}

// grad_beta[c] = Σ_{n<N,l<L} grad_y[n, c, l]
__kernel void batch_norm_inference_grad_beta(
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_beta,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C) {
        const int c = id;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += grad_y[(n * C + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_beta[id] = sum0;
    }
}

// y[n, c, l] = beta[c] + (X[n, c, l] - mean[c])/sqrt(eps + var[c])
__kernel void batch_norm_inference_without_gamma_y(
    __global const REAL *restrict X,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        y[id] = beta[c] + (X[(n * C + c) * L + l] - mean[c]) / sqrt(eps + var[c]);
    }
}

// grad_X[n, c, l] = grad_y[n, c, l]/sqrt(eps + var[c])
__kernel void batch_norm_inference_without_gamma_grad_X(
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_X,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        grad_X[id] = grad_y[(n * C + c) * L + l] / sqrt(eps + var[c]);
    }
}

// y[n, c, l] = (X[n, c, l] - mean[c])*gamma[c]/sqrt(eps + var[c])
__kernel void batch_norm_inference_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        y[id] = (X[(n * C + c) * L + l] - mean[c]) * gamma[c] / sqrt(eps + var[c]);
    }
}

// y[n, c, l] = (X[n, c, l] - mean[c])/sqrt(eps + var[c])
__kernel void batch_norm_inference_without_gamma_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        y[id] = (X[(n * C + c) * L + l] - mean[c]) / sqrt(eps + var[c]);
    }
}
