// Batch norm in training and ReLU, fused: the contract of the CPU kernels.
//
// features (R, C), scale (C), shift (C) -> out (R, C), mean (C), variance (C), row-major and contiguous; T is float or
// double. out = max(0, (features - mean) * scale / sqrt(variance + epsilon) + shift), NaN where that is NaN; mean and
// variance (not corrected for bias) are over the R rows. The caller has checked that R >= 1. Sums are taken in a fixed
// order, whatever the threads: the same input gives the same bits.
#pragma once
#include <cstdint>

#include "parallel.h"

namespace samplenet {

template <class T>
void batch_norm_relu(const T* features, const T* scale, const T* shift, double epsilon, int64_t R, int64_t C, T* out,
                     T* mean, T* variance, const Parallel& parallel);

// Gradient of sum(grad * out), grad (R, C); fills grad_features (R, C), grad_scale (C) and grad_shift (C).
template <class T>
void batch_norm_relu_backward(const T* grad, const T* features, const T* scale, const T* shift, const T* mean,
                              const T* variance, double epsilon, int64_t R, int64_t C, T* grad_features, T* grad_scale,
                              T* grad_shift, const Parallel& parallel);

}  // namespace samplenet
