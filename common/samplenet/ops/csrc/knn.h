// k nearest points of each query: the contract of the CPU and the CUDA kernels.
//
// queries (B, M, 3), points (B, N, 3) -> dist2 (B, M, k), idx (B, M, k), row-major and contiguous; T is float or
// double, I is int32_t or int64_t. Nearest first, equal distances lowest index first. d2 = ((dx*dx + dy*dy) + dz*dz)
// with every operation rounded to T and none fused; a d2 that is not a number counts as +infinity. The caller has
// checked that 1 <= k <= N and, for int32_t, that N fits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T, class I>
void knn(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
         const Parallel& parallel);

// Gradient of sum(grad * dist2), grad (B, M, k); fills grad_queries (B, M, 3) and grad_points (B, N, 3). Sums are taken
// in a fixed order: the same input gives the same bits.
template <class T, class I>
void knn_backward(const T* grad, const T* queries, const T* points, const I* idx, int64_t B, int64_t M, int64_t N,
                  int64_t k, T* grad_queries, T* grad_points, const Parallel& parallel);

// The same on device pointers, asynchronous on `stream` (a cudaStream_t), never waiting for the host. `workspace`:
// device memory of at least the bytes asked for (null when 0). Returns a cudaError_t, 0 for success.
template <class T, class I>
size_t knn_cuda_workspace(int64_t B, int64_t M, int64_t N, int64_t k);
template <class T, class I>
int knn_cuda(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
             void* workspace, void* stream);
template <class T, class I>
size_t knn_backward_cuda_workspace(int64_t B, int64_t M, int64_t N, int64_t k);
template <class T, class I>
int knn_backward_cuda(const T* grad, const T* queries, const T* points, const I* idx, int64_t B, int64_t M, int64_t N,
                      int64_t k, T* grad_queries, T* grad_points, void* workspace, void* stream);

}  // namespace samplenet
