// bce_with_logits: generated from its definition, do not edit.
// Certificates: proofs/, sha256 2e88aca8a1808b1b17bb3711ed24d5378af443c3a26aa3d52cfb5bff7b698f53
//
// Build options: REAL is float or double. Each size is a macro, either a number (-D SIZE_N=32) or a
// place in the kernels' last argument (-D SIZE_N=sizes[3]); the text stays the same.
//
// N samples, C classes; p = -log sigmoid(a); divisor is N*C for the mean, 1 for the sum.
#pragma OPENCL FP_CONTRACT ON

// p[n, c] = (log(exp(a[n, c]) + 1) - a[n, c] if a[n, c] < 0; log(1 + exp(-a[n, c])) otherwise)
__kernel void bce_with_logits_p(
    __global const REAL *a,
    __global REAL *p,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        p[id] = (a[n * C + c] < (REAL)0 ? log(exp(a[n * C + c]) + (REAL)1) - a[n * C + c] : log((REAL)1 + exp(-a[n * C + c])));
    }
}

// loss = Σ_{n<N,c<C} ((1 - t[n, c])*a[n, c] + ((v[c] - 1)*t[n, c] + 1)*p[n, c])*w[n, c]/divisor
__kernel void bce_with_logits_loss(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict v,
    __global const REAL *restrict p,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_c = 0;
            for (int c = 0; c < C; c++) {
                sum0_c += (((REAL)1 - t[n * C + c]) * a[n * C + c] + ((v[c] - (REAL)1) * t[n * C + c] + (REAL)1) * p[n * C + c]) * w[n * C + c];
            }
            sum0 += sum0_c;
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_p[n, c] = ((v[c] - 1)*t[n, c] + 1)*grad_loss*w[n, c]/divisor
__kernel void bce_with_logits_grad_p(
    __global const REAL *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict v,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_p,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_p[id] = ((v[c] - (REAL)1) * t[n * C + c] + (REAL)1) * grad_loss[0] * w[n * C + c] / divisor;
    }
}

// grad_a[n, c] = ((exp(a[n, c])/(exp(a[n, c]) + 1) - 1)*grad_p[n, c] if a[n, c] < 0; -exp(-a[n,
//     c])*grad_p[n, c]/(1 + exp(-a[n, c])) otherwise) + (1 - t[n, c])*grad_loss*w[n, c]/divisor
__kernel void bce_with_logits_grad_a(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict grad_loss,
    __global const REAL *restrict grad_p,
    __global REAL *restrict grad_a,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_a[id] = (a[n * C + c] < (REAL)0 ? (exp(a[n * C + c]) / (exp(a[n * C + c]) + (REAL)1) - (REAL)1) * grad_p[n * C + c] : -exp(-a[n * C + c]) * grad_p[n * C + c] / ((REAL)1 + exp(-a[n * C + c]))) + ((REAL)1 - t[n * C + c]) * grad_loss[0] * w[n * C + c] / divisor;
    }
}

// grad_t[n, c] = ((v[c] - 1)*p[n, c] - a[n, c])*grad_loss*w[n, c]/divisor
__kernel void bce_with_logits_grad_t(
    __global const REAL *restrict a,
    __global const REAL *restrict w,
    __global const REAL *restrict v,
    __global const REAL *restrict p,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_t,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_t[id] = ((v[c] - (REAL)1) * p[n * C + c] - a[n * C + c]) * grad_loss[0] * w[n * C + c] / divisor;
    }
}

// loss = Σ_{n<N,c<C} ((1 - t[n, c])*a[n, c] + ((v[c] - 1)*t[n, c] + 1)*p[n, c])/divisor
__kernel void bce_with_logits_without_w_loss(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict v,
    __global const REAL *restrict p,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_c = 0;
            for (int c = 0; c < C; c++) {
                sum0_c += ((REAL)1 - t[n * C + c]) * a[n * C + c] + ((v[c] - (REAL)1) * t[n * C + c] + (REAL)1) * p[n * C + c];
            }
            sum0 += sum0_c;
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_p[n, c] = ((v[c] - 1)*t[n, c] + 1)*grad_loss/divisor
__kernel void bce_with_logits_without_w_grad_p(
    __global const REAL *restrict t,
    __global const REAL *restrict v,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_p,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_p[id] = ((v[c] - (REAL)1) * t[n * C + c] + (REAL)1) * grad_loss[0] / divisor;
    }
}

// grad_a[n, c] = ((exp(a[n, c])/(exp(a[n, c]) + 1) - 1)*grad_p[n, c] if a[n, c] < 0; -exp(-a[n,
//     c])*grad_p[n, c]/(1 + exp(-a[n, c])) otherwise) + (1 - t[n, c])*grad_loss/divisor
__kernel void bce_with_logits_without_w_grad_a(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict grad_loss,
    __global const REAL *restrict grad_p,
    __global REAL *restrict grad_a,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_a[id] = (a[n * C + c] < (REAL)0 ? (exp(a[n * C + c]) / (exp(a[n * C + c]) + (REAL)1) - (REAL)1) * grad_p[n * C + c] : -exp(-a[n * C + c]) * grad_p[n * C + c] / ((REAL)1 + exp(-a[n * C + c]))) + ((REAL)1 - t[n * C + c]) * grad_loss[0] / divisor;
    }
}

// grad_t[n, c] = ((v[c] - 1)*p[n, c] - a[n, c])*grad_loss/divisor
__kernel void bce_with_logits_without_w_grad_t(
    __global const REAL *restrict a,
    __global const REAL *restrict v,
    __global const REAL *restrict p,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_t,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_t[id] = ((v[c] - (REAL)1) * p[n * C + c] - a[n * C + c]) * grad_loss[0] / divisor;
    }
}

// loss = Σ_{n<N,c<C} ((1 - t[n, c])*a[n, c] + p[n, c])*w[n, c]/divisor
__kernel void bce_with_logits_without_v_loss(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict w,
    __global const REAL *restrict p,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_c = 0;
            for (int c = 0; c < C; c++) {
                sum0_c += (((REAL)1 - t[n * C + c]) * a[n * C + c] + p[n * C + c]) * w[n * C + c];
            }
            sum0 += sum0_c;
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_p[n, c] = grad_loss*w[n, c]/divisor
__kernel void bce_with_logits_without_v_grad_p(
    __global const REAL *restrict w,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_p,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_p[id] = grad_loss[0] * w[n * C + c] / divisor;
    }
}

// grad_t[n, c] = -grad_loss*a[n, c]*w[n, c]/divisor
__kernel void bce_with_logits_without_v_grad_t(
    __global const REAL *restrict a,
    __global const REAL *restrict w,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_t,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_t[id] = -grad_loss[0] * a[n * C + c] * w[n * C + c] / divisor;
    }
}

// loss = Σ_{n<N,c<C} ((1 - t[n, c])*a[n, c] + p[n, c])/divisor
__kernel void bce_with_logits_without_w_without_v_loss(
    __global const REAL *restrict a,
    __global const REAL *restrict t,
    __global const REAL *restrict p,
    __global REAL *restrict loss,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < 1) {
        REAL sum0 = 0;
        for (int n = 0; n < N; n++) {
            REAL sum0_c = 0;
            for (int c = 0; c < C; c++) {
                sum0_c += ((REAL)1 - t[n * C + c]) * a[n * C + c] + p[n * C + c];
            }
            sum0 += sum0_c;
        }
        loss[id] = sum0 / divisor;
    }
}

// grad_p[n, c] = grad_loss/divisor
__kernel void bce_with_logits_without_w_without_v_grad_p(
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_p,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_p[id] = grad_loss[0] / divisor;
    }
}

// grad_t[n, c] = -grad_loss*a[n, c]/divisor
__kernel void bce_with_logits_without_w_without_v_grad_t(
    __global const REAL *restrict a,
    __global const REAL *restrict grad_loss,
    __global REAL *restrict grad_t,
    const REAL divisor,
    __global const int *restrict sizes)
{
    const int C = SIZE_C;
    const int N = SIZE_N;
    const int id = get_global_id(0);
    if (id < C * N) {
        const int n = id / C;
        const int c = id % C;
        grad_t[id] = -grad_loss[0] * a[n * C + c] / divisor;
    }
}
