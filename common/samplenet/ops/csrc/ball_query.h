// The points within a radius of each query, the k lowest indices of them: the contract of the CPU and the CUDA kernels.
//
// queries (B, M, 3), points (B, N, 3) -> idx (B, M, k), count (B, M). A point is in the ball if d2 < radius * radius,
// squared in T. The first `count` indices of a row ascend; the others repeat the first of them, or are 0 where the ball
// is empty. Layout, types and arithmetic as in knn.h; a d2 that is not a number lies outside. The caller has checked
// that N >= 1, k >= 1, 0 < radius, and, for int32_t, that N and k fit.
#pragma once
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T, class I>
void ball_query(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, double radius, int64_t k, I* idx,
                I* count, const Parallel& parallel);

// On device pointers; `stream` and the result as in knn.h, without a workspace.
template <class T, class I>
int ball_query_cuda(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, double radius, int64_t k,
                    I* idx, I* count, void* stream);

}  // namespace samplenet
