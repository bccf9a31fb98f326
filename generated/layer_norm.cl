// layer_norm: generated from its definition, do not edit.
// Certificates: proofs/, sha256 c93b13f0dec0ebacaa916567d68ecab72b93e58fb2f1e99a6ff3f202222f7fac
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// M rows of L elements, each normalised by its own mean and biased variance.
#pragma OPENCL FP_CONTRACT ON

// mean[m] = Σ_{l<L} X[m, l]/L
__kernel void layer_norm_mean(
    __global const REAL *restrict X,
    __global REAL *restrict mean,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += X[m * L + l];
        }
        mean[id] = sum0 / (REAL)L;
    }
}

// var[m] = Σ_{l<L} (X[m, l] - mean[m])**2/L
__kernel void layer_norm_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global REAL *restrict var,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[m * L + l] - mean[m]) * (X[m * L + l] - mean[m]);
        }
        var[id] = sum0 / (REAL)L;
    }
}

// y[m, l] = beta[l] + (X[m, l] - mean[m])*gamma[l]/sqrt(eps + var[m])
__kernel void layer_norm_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        y[id] = beta[l] + (X[m * L + l] - mean[m]) * gamma[l] / sqrt(eps + var[m]);
    }
}

// grad_var[m] = -Σ_{l<L} (X[m, l] - mean[m])*gamma[l]*grad_y[m, l]/(2*(eps + var[m])**(3/2))
__kernel void layer_norm_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[m * L + l] - mean[m]) * gamma[l] * grad_y[m * L + l];
        }
        grad_var[id] = -sum0 / ((REAL)2 * (eps + var[m]) * sqrt(eps + var[m]));
    }
}

// grad_mean[m] = -Σ_{l<L} gamma[l]*grad_y[m, l]/sqrt(eps + var[m])
__kernel void layer_norm_grad_mean(
    __global const REAL *restrict gamma,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += gamma[l] * grad_y[m * L + l];
        }
        grad_mean[id] = -sum0 / sqrt(eps + var[m]);
    }
}

// grad_X[m, l] = gamma[l]*grad_y[m, l]/sqrt(eps + var[m]) + (2*X[m, l] - 2*mean[m])*grad_var[m]/L
//     + grad_mean[m]/L
__kernel void layer_norm_grad_X(
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
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        grad_X[id] = gamma[l] * grad_y[m * L + l] / sqrt(eps + var[m]) + ((REAL)2 * X[m * L + l] - (REAL)2 * mean[m]) * grad_var[m] / (REAL)L + grad_mean[m] / (REAL)L;
    }
}

// grad_gamma[l] = Σ_{m<M} (X[m, l] - mean[m])*grad_y[m, l]/sqrt(eps + var[m])
__kernel void layer_norm_grad_gamma(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_gamma,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L) {
        const int l = id;
        REAL sum0 = 0;
        for (int m = 0; m < M; m++) {
            sum0 += (X[m * L + l] - mean[m]) * grad_y[m * L + l] / sqrt(eps + var[m]);
        }
        grad_gamma[id] = sum0;
    }
}

// grad_beta[l] = Σ_{m<M} grad_y[m, l]
__kernel void layer_norm_grad_beta(
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_beta,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L) {
        const int l = id;
        REAL sum0 = 0;
        for (int m = 0; m < M; m++) {
            sum0 += grad_y[m * L + l];
        }
        grad_beta[id] = sum0;
    }
}

// y[m, l] = beta[l] + (X[m, l] - mean[m])/sqrt(eps + var[m])
__kernel void layer_norm_without_gamma_y(
    __global const REAL *restrict X,
    __global const REAL *restrict beta,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        y[id] = beta[l] + (X[m * L + l] - mean[m]) / sqrt(eps + var[m]);
    }
}

// grad_var[m] = -Σ_{l<L} (X[m, l] - mean[m])*grad_y[m, l]/(2*(eps + var[m])**(3/2))
__kernel void layer_norm_without_gamma_grad_var(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_var,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += (X[m * L + l] - mean[m]) * grad_y[m * L + l];
        }
        grad_var[id] = -sum0 / ((REAL)2 * (eps + var[m]) * sqrt(eps + var[m]));
    }
}

// grad_mean[m] = -Σ_{l<L} grad_y[m, l]/sqrt(eps + var[m])
__kernel void layer_norm_without_gamma_grad_mean(
    __global const REAL *restrict var,
    __global const REAL *restrict grad_y,
    __global REAL *restrict grad_mean,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < M) {
        const int m = id;
        REAL sum0 = 0;
        for (int l = 0; l < L; l++) {
            sum0 += grad_y[m * L + l];
        }
        grad_mean[id] = -sum0 / sqrt(eps + var[m]);
    }
}

// grad_X[m, l] = grad_y[m, l]/sqrt(eps + var[m]) + (2*X[m, l] - 2*mean[m])*grad_var[m]/L +
//     grad_mean[m]/L
__kernel void layer_norm_without_gamma_grad_X(
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
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        grad_X[id] = grad_y[m * L + l] / sqrt(eps + var[m]) + ((REAL)2 * X[m * L + l] - (REAL)2 * mean[m]) * grad_var[m] / (REAL)L + grad_mean[m] / (REAL)L;
    }
}

// y[m, l] = (X[m, l] - mean[m])*gamma[l]/sqrt(eps + var[m])
__kernel void layer_norm_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict gamma,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        y[id] = (X[m * L + l] - mean[m]) * gamma[l] / sqrt(eps + var[m]);
    }
}

// y[m, l] = (X[m, l] - mean[m])/sqrt(eps + var[m])
__kernel void layer_norm_without_gamma_without_beta_y(
    __global const REAL *restrict X,
    __global const REAL *restrict mean,
    __global const REAL *restrict var,
    __global REAL *restrict y,
    const REAL eps,
    __global const int *restrict sizes)
{
    const int L = SIZE_L;
    const int M = SIZE_M;
    const int id = get_global_id(0);
    if (id < L * M) {
        const int m = id / L;
        const int l = id % L;
        y[id] = (X[m * L + l] - mean[m]) / sqrt(eps + var[m]);
    }
}
