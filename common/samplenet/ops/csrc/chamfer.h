// Chamfer distance: squared distance of each point to the nearest one of the other cloud, in both directions.
//
// a (B, M, 3), b (B, N, 3) -> a2b (B, M), b2a (B, N), idx_ab (B, M) into b, idx_ba (B, N) into a. Layout, types,
// arithmetic and ties as in knn.h with k = 1. The caller has checked that M >= 1 and N >= 1.
#pragma once
#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T, class I>
void chamfer(const T* a, const T* b, int64_t B, int64_t M, int64_t N, T* a2b, T* b2a, I* idx_ab, I* idx_ba,
             const Parallel& parallel);

// Gradient of sum(grad_a2b * a2b) + sum(grad_b2a * b2a); fills grad_a (B, M, 3) and grad_b (B, N, 3). Sums are taken in
// a fixed order: the same input gives the same bits.
template <class T, class I>
void chamfer_backward(const T* grad_a2b, const T* grad_b2a, const T* a, const T* b, const I* idx_ab, const I* idx_ba,
                      int64_t B, int64_t M, int64_t N, T* grad_a, T* grad_b, const Parallel& parallel);

// On device pointers; `workspace`, `stream` and the result as in knn.h.
template <class T, class I>
size_t chamfer_cuda_workspace(int64_t B, int64_t M, int64_t N);
template <class T, class I>
int chamfer_cuda(const T* a, const T* b, int64_t B, int64_t M, int64_t N, T* a2b, T* b2a, I* idx_ab, I* idx_ba,
                 void* workspace, void* stream);
template <class T, class I>
size_t chamfer_backward_cuda_workspace(int64_t B, int64_t M, int64_t N);
template <class T, class I>
int chamfer_backward_cuda(const T* grad_a2b, const T* grad_b2a, const T* a, const T* b, const I* idx_ab,
                          const I* idx_ba, int64_t B, int64_t M, int64_t N, T* grad_a, T* grad_b, void* workspace,
                          void* stream);

}  // namespace samplenet
