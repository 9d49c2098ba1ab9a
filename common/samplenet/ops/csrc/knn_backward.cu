// Gradient of the k nearest points: one launch, a thread for a query and a block for 32 points.
//
// The points pull (pull.cuh): a fixed order of summation, no workspace.
#include "cuda_common.cuh"
#include "knn.h"
#include "pull.cuh"
#include "types.h"

namespace samplenet {
namespace {

template <class T, class I>
__global__ void __launch_bounds__(kPullThreads, 2) knn_backward_kernel(
    const T* __restrict__ grad, const T* __restrict__ queries, const T* __restrict__ points, const I* __restrict__ idx,
    int64_t B, int64_t M, int64_t N, int64_t k, int64_t point_blocks, T* grad_queries, T* grad_points) {
  if (blockIdx.x < B * point_blocks) {
    const int64_t cloud = blockIdx.x / point_blocks, first = blockIdx.x % point_blocks * 32, j = first + threadIdx.x;
    T sum[3];
    pull(grad + cloud * M * k, points + 3 * cloud * N, queries + 3 * cloud * M, idx + cloud * M * k, first, N, M * k, k,
         sum);
    if (threadIdx.x < 32 && j < N)
      for (int c = 0; c < 3; ++c) grad_points[3 * (cloud * N + j) + c] = sum[c];
    return;
  }
  const int64_t i = (blockIdx.x - B * point_blocks) * kPullThreads + threadIdx.x;
  if (i >= B * M) return;
  const T* cloud = points + 3 * (i / M * N);
  T sum[3] = {0, 0, 0};
  for (int64_t e = i * k; e < (i + 1) * k; ++e) {
    const int64_t j = idx[e];
    if (j < 0 || j >= N) continue;
    for (int c = 0; c < 3; ++c) sum[c] = add(sum[c], mul(grad[e] + grad[e], sub(queries[3 * i + c], cloud[3 * j + c])));
  }
  for (int c = 0; c < 3; ++c) grad_queries[3 * i + c] = sum[c];
}

}  // namespace

template <class T, class I>
size_t knn_backward_cuda_workspace(int64_t, int64_t, int64_t, int64_t) {
  return 0;
}

template <class T, class I>
int knn_backward_cuda(const T* grad, const T* queries, const T* points, const I* idx, int64_t B, int64_t M, int64_t N,
                      int64_t k, T* grad_queries, T* grad_points, void*, void* stream) {
  if (B == 0) return cudaSuccess;
  const int64_t point_blocks = ceil_div(N, 32), blocks = B * point_blocks + ceil_div(B * M, kPullThreads);
  return launch(knn_backward_kernel<T, I>, blocks, kPullThreads, stream, grad, queries, points, idx, B, M, N, k,
                point_blocks, grad_queries, grad_points);
}

#define INSTANTIATE(T, I)                                                                                       \
  template size_t knn_backward_cuda_workspace<T, I>(int64_t, int64_t, int64_t, int64_t);                        \
  template int knn_backward_cuda<T, I>(const T*, const T*, const T*, const I*, int64_t, int64_t, int64_t,       \
                                       int64_t, T*, T*, void*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
