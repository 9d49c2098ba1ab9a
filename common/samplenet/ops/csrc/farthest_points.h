// Farthest point sampling, continued from given points.
//
// points (B, N, 3), chosen (B, S), S >= 1 -> idx (B, m): the distinct indices of `chosen` in order (at most m), then
// always the point farthest from those picked, the lowest index among equals. A picked point is never picked again, so
// the m indices are distinct also when all points coincide. Layout, types and arithmetic as in knn.h; a distance that
// is not a number counts as +infinity. The caller has checked that 1 <= m <= N and 0 <= chosen < N.
#pragma once
#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T, class I>
void farthest_points(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                     const Parallel& parallel);

// On device pointers; `workspace`, `stream` and the result as in knn.h.
template <class T, class I>
size_t farthest_points_cuda_workspace(int64_t B, int64_t N, int64_t S, int64_t m);
template <class T, class I>
int farthest_points_cuda(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                         void* workspace, void* stream);

}  // namespace samplenet
