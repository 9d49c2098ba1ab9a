// The maximum over a cloud's points of a linear layer applied to each of them: the contract of the CPU kernels.
//
// features (B, N, C), weight (C, F) -> values (B, F), idx (B, F), row-major and contiguous; T is float or double, I is
// int32_t or int64_t. values[b, f] is the largest of features[b, n] . weight[:, f] over n, idx[b, f] the lowest n that
// has it; the (B, N, F) products are never stored. Sums are rounded as the instruction set likes (fused or not). A value
// is NaN where one of the products is, or where infinite ones of both signs meet. The caller has checked that N >= 1
// and, for int32_t, that N fits.
#pragma once
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T, class I>
void pooled_linear(const T* features, const T* weight, int64_t B, int64_t N, int64_t C, int64_t F, T* values, I* idx,
                   const Parallel& parallel);

// Gradient of sum(grad * values), grad (B, F); fills grad_features (B, N, C) and grad_weight (C, F). Sums are taken in
// a fixed order: the same input gives the same bits.
template <class T, class I>
void pooled_linear_backward(const T* grad, const T* features, const T* weight, const I* idx, int64_t B, int64_t N,
                            int64_t C, int64_t F, T* grad_features, T* grad_weight, const Parallel& parallel);

}  // namespace samplenet
