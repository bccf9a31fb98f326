// What a device can do at most: operations without memory, memory without operations.
// Build options: REAL (float, double), LANES (elements of a vector), CHAINS (independent sums, to
// hide the latency of one), UNROLLED if the compiler takes OpenCL 2.0's hint.
#ifdef UNROLLED
#define EACH __attribute__((opencl_unroll_hint))
#else
#define EACH
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define REALV JOIN(REAL, LANES)
#pragma OPENCL FP_CONTRACT ON

// 2 * CHAINS * LANES * rounds operations of each work-item.
__kernel void operations(__global REAL *out, const REAL factor, const int rounds) {
  REALV sums[CHAINS];
  EACH for (int k = 0; k < CHAINS; k++)
    sums[k] = (REALV)((REAL)(k + get_global_id(0)));
  for (int r = 0; r < rounds; r++)
    EACH for (int k = 0; k < CHAINS; k++)
      sums[k] = sums[k] * (REALV)factor + (REALV)factor;
  REALV total = sums[0];
  EACH for (int k = 1; k < CHAINS; k++)
    total += sums[k];
  JOIN(vstore, LANES)(total, get_global_id(0), out);
}

// a = b + factor * c on vectors; a group takes a part that is contiguous.
__kernel void triad(__global REALV *a, __global const REALV *b, __global const REALV *c,
                    const REAL factor, const int vectors) {
  const long part = get_group_id(0), parts = get_num_groups(0);
  const int end = (int)(vectors * (part + 1) / parts);
  for (int i = (int)(vectors * part / parts) + get_local_id(0); i < end; i += get_local_size(0))
    a[i] = b[i] + (REALV)factor * c[i];
}
