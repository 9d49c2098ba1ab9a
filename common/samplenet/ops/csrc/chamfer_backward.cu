// Gradient of the Chamfer distance: one launch, a block for 32 points of either cloud.
//
// A point has its own term and pulls (pull.cuh) those of the points whose nearest it is: a fixed order of
// summation, no workspace.
#include "chamfer.h"
#include "cuda_common.cuh"
#include "pull.cuh"
#include "types.h"

namespace samplenet {
namespace {

// 32 points of `own`: grad and idx belong to them, other_grad and other_idx to the points of `other`.
template <class T, class I>
__device__ __forceinline__ void one_block(const T* grad, const T* other_grad, const T* own, const T* other,
                                          const I* idx, const I* other_idx, int64_t block, int64_t M, int64_t N,
                                          T* out) {
  const int64_t blocks = (M + 31) / 32, cloud = block / blocks, first = block % blocks * 32, i = first + threadIdx.x;
  T sum[3];
  pull(other_grad + cloud * N, own + 3 * cloud * M, other + 3 * cloud * N, other_idx + cloud * N, first, M, N,
       int64_t{1}, sum);
  if (threadIdx.x >= 32 || i >= M) return;
  const int64_t at = cloud * M + i, j = idx[at];
  const T* nearest = other + 3 * (cloud * N + j);
  for (int c = 0; c < 3; ++c) {
    if (j >= 0 && j < N) sum[c] = add(mul(grad[at] + grad[at], sub(own[3 * at + c], nearest[c])), sum[c]);
    out[3 * at + c] = sum[c];
  }
}

template <class T, class I>
__global__ void __launch_bounds__(kPullThreads, 2) chamfer_backward_kernel(
    const T* __restrict__ grad_a2b, const T* __restrict__ grad_b2a, const T* __restrict__ a, const T* __restrict__ b,
    const I* __restrict__ idx_ab, const I* __restrict__ idx_ba, int64_t a_blocks, int64_t M, int64_t N, T* grad_a,
    T* grad_b) {
  const bool first = blockIdx.x < a_blocks;  // one call of one_block, so that its shared memory exists once
  one_block(first ? grad_a2b : grad_b2a, first ? grad_b2a : grad_a2b, first ? a : b, first ? b : a,
            first ? idx_ab : idx_ba, first ? idx_ba : idx_ab, first ? blockIdx.x : blockIdx.x - a_blocks, first ? M : N,
            first ? N : M, first ? grad_a : grad_b);
}

}  // namespace

template <class T, class I>
size_t chamfer_backward_cuda_workspace(int64_t, int64_t, int64_t) {
  return 0;
}

template <class T, class I>
int chamfer_backward_cuda(const T* grad_a2b, const T* grad_b2a, const T* a, const T* b, const I* idx_ab,
                          const I* idx_ba, int64_t B, int64_t M, int64_t N, T* grad_a, T* grad_b, void*, void* stream) {
  if (B == 0) return cudaSuccess;
  const int64_t a_blocks = B * ceil_div(M, 32), b_blocks = B * ceil_div(N, 32);
  return launch(chamfer_backward_kernel<T, I>, a_blocks + b_blocks, kPullThreads, stream, grad_a2b, grad_b2a, a, b,
                idx_ab, idx_ba, a_blocks, M, N, grad_a, grad_b);
}

#define INSTANTIATE(T, I)                                                                                           \
  template size_t chamfer_backward_cuda_workspace<T, I>(int64_t, int64_t, int64_t);                                 \
  template int chamfer_backward_cuda<T, I>(const T*, const T*, const T*, const T*, const I*, const I*, int64_t,     \
                                           int64_t, int64_t, T*, T*, void*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
