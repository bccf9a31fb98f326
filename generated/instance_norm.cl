// instance_norm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 914a4f3010594c97f7986bda3c46a43d382420289fc2bb61f8b2fe8e14df2be2
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, C channels, L positions; one mean and variance for each sample's channel.
#pragma OPENCL FP_CONTRACT ON

// mean[n, c] = Σ_{l<L} X[n, c, l]/L
__kernel void instance_norm_mean(
    __global const REAL *restrict X,
    __global REAL *restrict mean,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += X[(n * C + c) * L + l];
        }
        mean[id] = sum0 / (REAL)L;
    }
}

// var[n, c] = Σ_{l<L} (X[n, c, l] - mean[n, c])**2/L
__kernel void instance_norm_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global REAL *restrict var,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[(n * C + c) * L + l] - mean[n * C + c]) * (X[(n * C + c) * L + l] - mean[n * C + c]);
        }
        var[id] = sum0 / (REAL)L;
    }
}

// y[n, c, l] = beta[c] + (X[n, c, l] - mean[n, c])*gamma[c]/sqrt(eps + var[n, c])
__kernel void instance_norm_y(
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
        y[id] = beta[c] + (X[(n * C + c) * L + l] - mean[n * C + c]) * gamma[c] / sqrt(eps + var[n * C + c]);
    }
}

// grad_var[n, c] = -gamma[c]*Σ_{l<L} (X[n, c, l] - mean[n, c])*grad_y[n, c, l]/(2*(eps + var[n,
//     c])**(3/2))
__kernel void instance_norm_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[(n * C + c) * L + l] - mean[n * C + c]) * grad_y[(n * C + c) * L + l];
        }
        grad_var[id] = -sum0 * gamma[c] / ((REAL)2 * (eps + var[n * C + c]) * sqrt(eps + var[n * C + c]));
    }
}

// grad_mean[n, c] = -gamma[c]*Σ_{l<L} grad_y[n, c, l]/sqrt(eps + var[n, c])
__kernel void instance_norm_grad_mean(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += grad_y[(n * C + c) * L + l];
        }
        grad_mean[id] = -sum0 * gamma[c] / sqrt(eps + var[n * C + c]);
    }
}

// grad_X[n, c, l] = gamma[c]*grad_y[n, c, l]/sqrt(eps + var[n, c]) + (2*X[n, c, l] - 2*mean[n,
//     c])*grad_var[n, c]/L + grad_mean[n, c]/L
__kernel void instance_norm_grad_X(
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
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        grad_X[id] = gamma[c] * grad_y[(n * C + c) * L + l] / sqrt(eps + var[n * C + c]) + ((REAL)2 * X[(n * C + c) * L + l] - (REAL)2 * mean[n * C + c]) * grad_var[n * C + c] / (REAL)L + grad_mean[n * C + c] / (REAL)L;
    }
}

// grad_gamma[c] = Σ_{n<N,l<L} (X[n, c, l] - mean[n, c])*grad_y[n, c, l]/sqrt(eps + var[n, c])
__kernel void instance_norm_grad_gamma(
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
                sum0_l += (X[(n * C + c) * L + l] - mean[n * C + c]) * grad_y[(n * C + c) * L + l] / sqrt(eps + var[n * C + c]);
            }
            sum0 += sum0_l;
        }
        grad_gamma[id] = sum0;
    }
}

// grad_beta[c] = Σ_{n<N,l<L} grad_y[n, c, l]
__kernel void instance_norm_grad_beta(
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

// y[n, c, l] = beta[c] + (X[n, c, l] - mean[n, c])/sqrt(eps + var[n, c])
__kernel void instance_norm_without_gamma_y(
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
        y[id] = beta[c] + (X[(n * C + c) * L + l] - mean[n * C + c]) / sqrt(eps + var[n * C + c]);
    }
}

// grad_var[n, c] = -Σ_{l<L} (X[n, c, l] - mean[n, c])*grad_y[n, c, l]/(2*(eps + var[n, c])**(3/2))
__kernel void instance_norm_without_gamma_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[(n * C + c) * L + l] - mean[n * C + c]) * grad_y[(n * C + c) * L + l];
        }
        grad_var[id] = -sum0 / ((REAL)2 * (eps + var[n * C + c]) * sqrt(eps + var[n * C + c]));
    }
}

// grad_mean[n, c] = -Σ_{l<L} grad_y[n, c, l]/sqrt(eps + var[n, c])
__kernel void instance_norm_without_gamma_grad_mean(
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += grad_y[(n * C + c) * L + l];
        }
        grad_mean[id] = -sum0 / sqrt(eps + var[n * C + c]);
    }
}

// grad_X[n, c, l] = grad_y[n, c, l]/sqrt(eps + var[n, c]) + (2*X[n, c, l] - 2*mean[n,
//     c])*grad_var[n, c]/L + grad_mean[n, c]/L
__kernel void instance_norm_without_gamma_grad_X(
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
    const int C = SIZE_C;
    const int L = SIZE_L;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * L * N) {
        const int n = id / L / C;
        const int c = id / L % C;
        const int l = id % L;
        grad_X[id] = grad_y[(n * C + c) * L + l] / sqrt(eps + var[n * C + c]) + ((REAL)2 * X[(n * C + c) * L + l] - (REAL)2 * mean[n * C + c]) * grad_var[n * C + c] / (REAL)L + grad_mean[n * C + c] / (REAL)L;
    }
}

// y[n, c, l] = (X[n, c, l] - mean[n, c])*gamma[c]/sqrt(eps + var[n, c])
__kernel void instance_norm_without_beta_y(
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
        y[id] = (X[(n * C + c) * L + l] - mean[n * C + c]) * gamma[c] / sqrt(eps + var[n * C + c]);
    }
}

// y[n, c, l] = (X[n, c, l] - mean[n, c])/sqrt(eps + var[n, c])
__kernel void instance_norm_without_gamma_without_beta_y(
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
        y[id] = (X[(n * C + c) * L + l] - mean[n * C + c]) / sqrt(eps + var[n * C + c]);
    }
}
