// group_norm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 82d3e01347ae5150441ae946db9be02a8d543de788ad33e42c58eed29c345dfe
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, G groups of CG channels, L positions; one mean and variance for each group.
#pragma OPENCL FP_CONTRACT ON

// mean[n, g] = Σ_{c<CG,l<L} X[n, g, c, l]/(CG*L)
__kernel void group_norm_mean(
    __global const REAL *restrict X,
    __global REAL *restrict mean,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += X[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        mean[id] = sum0 / ((REAL)CG * (REAL)L);
    }
}

// var[n, g] = Σ_{c<CG,l<L} (X[n, g, c, l] - mean[n, g])**2/(CG*L)
__kernel void group_norm_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global REAL *restrict var,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]);
            }
            sum0 += sum0_l;
        }
        var[id] = sum0 / ((REAL)CG * (REAL)L);
    }
}

// y[n, g, c, l] = beta[g, c] + (X[n, g, c, l] - mean[n, g])*gamma[g, c]/sqrt(eps + var[n, g])
__kernel void group_norm_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        y[id] = beta[g * CG + c] + (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * gamma[g * CG + c] / sqrt(eps + var[n * G + g]);
    }
}

// grad_var[n, g] = -Σ_{c<CG,l<L} (X[n, g, c, l] - mean[n, g])*gamma[g, c]*grad_y[n, g, c,
//     l]/(2*(eps + var[n, g])**(3/2))
__kernel void group_norm_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * gamma[g * CG + c] * grad_y[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_var[id] = -sum0 / ((REAL)2 * (eps + var[n * G + g]) * sqrt(eps + var[n * G + g]));
    }
}

// grad_mean[n, g] = -Σ_{c<CG,l<L} gamma[g, c]*grad_y[n, g, c, l]/sqrt(eps + var[n, g])
__kernel void group_norm_grad_mean(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += gamma[g * CG + c] * grad_y[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_mean[id] = -sum0 / sqrt(eps + var[n * G + g]);
    }
}

// grad_X[n, g, c, l] = gamma[g, c]*grad_y[n, g, c, l]/sqrt(eps + var[n, g]) + (2*X[n, g, c, l] -
//     2*mean[n, g])*grad_var[n, g]/(CG*L) + grad_mean[n, g]/(CG*L)
__kernel void group_norm_grad_X(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global const REAL *restrict grad_var,
    __global const REAL *restrict grad_mean,
    __global REAL *restrict grad_X,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        grad_X[id] = gamma[g * CG + c] * grad_y[((n * G + g) * CG + c) * L + l] / sqrt(eps + var[n * G + g]) + ((REAL)2 * X[((n * G + g) * CG + c) * L + l] - (REAL)2 * mean[n * G + g]) * grad_var[n * G + g] / ((REAL)CG * (REAL)L) + grad_mean[n * G + g] / ((REAL)CG * (REAL)L);
    }
}

// grad_gamma[g, c] = Σ_{n<N,l<L} (X[n, g, c, l] - mean[n, g])*grad_y[n, g, c, l]/sqrt(eps + var[n,
//     g])
__kernel void group_norm_grad_gamma(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_gamma,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G) {
        const int g = id / CG;
        const int c = id % CG;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * grad_y[((n * G + g) * CG + c) * L + l] / sqrt(eps + var[n * G + g]);
            }
            sum0 += sum0_l;
        }
        grad_gamma[id] = sum0;
    }
}

// grad_beta[g, c] = Σ_{n<N,l<L} grad_y[n, g, c, l]
__kernel void group_norm_grad_beta(
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_beta,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G) {
        const int g = id / CG;
        const int c = id % CG;
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += grad_y[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_beta[id] = sum0;
    }
}

// y[n, g, c, l] = beta[g, c] + (X[n, g, c, l] - mean[n, g])/sqrt(eps + var[n, g])
__kernel void group_norm_without_gamma_y(
    __global const REAL *restrict X,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        y[id] = beta[g * CG + c] + (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) / sqrt(eps + var[n * G + g]);
    }
}

// grad_var[n, g] = -Σ_{c<CG,l<L} (X[n, g, c, l] - mean[n, g])*grad_y[n, g, c, l]/(2*(eps + var[n,
//     g])**(3/2))
__kernel void group_norm_without_gamma_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * grad_y[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_var[id] = -sum0 / ((REAL)2 * (eps + var[n * G + g]) * sqrt(eps + var[n * G + g]));
    }
}

// grad_mean[n, g] = -Σ_{c<CG,l<L} grad_y[n, g, c, l]/sqrt(eps + var[n, g])
__kernel void group_norm_without_gamma_grad_mean(
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < G * N) {
        const int n = id / G;
        const int g = id % G;
        REAL sum0 = 0;
        for (int c = 0; c < CG; c++) {
            REAL sum0_l = 0;
            for (int l = 0; l < L; l++) {
                sum0_l += grad_y[((n * G + g) * CG + c) * L + l];
            }
            sum0 += sum0_l;
        }
        grad_mean[id] = -sum0 / sqrt(eps + var[n * G + g]);
    }
}

// grad_X[n, g, c, l] = grad_y[n, g, c, l]/sqrt(eps + var[n, g]) + (2*X[n, g, c, l] - 2*mean[n,
//     g])*grad_var[n, g]/(CG*L) + grad_mean[n, g]/(CG*L)
__kernel void group_norm_without_gamma_grad_X(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global const REAL *restrict grad_var,
    __global const REAL *restrict grad_mean,
    __global REAL *restrict grad_X,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        grad_X[id] = grad_y[((n * G + g) * CG + c) * L + l] / sqrt(eps + var[n * G + g]) + ((REAL)2 * X[((n * G + g) * CG + c) * L + l] - (REAL)2 * mean[n * G + g]) * grad_var[n * G + g] / ((REAL)CG * (REAL)L) + grad_mean[n * G + g] / ((REAL)CG * (REAL)L);
    }
}

// y[n, g, c, l] = (X[n, g, c, l] - mean[n, g])*gamma[g, c]/sqrt(eps + var[n, g])
__kernel void group_norm_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        y[id] = (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) * gamma[g * CG + c] / sqrt(eps + var[n * G + g]);
    }
}

// y[n, g, c, l] = (X[n, g, c, l] - mean[n, g])/sqrt(eps + var[n, g])
__kernel void group_norm_without_gamma_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int CG = SIZE_CG;
    const int G = SIZE_G;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < CG * G * L * N) {
        const int n = id / L / CG / G;
        const int g = id / L / CG % G;
        const int c = id / L % CG;
        const int l = id % L;
        y[id] = (X[((n * G + g) * CG + c) * L + l] - mean[n * G + g]) / sqrt(eps + var[n * G + g]);
    }
}
