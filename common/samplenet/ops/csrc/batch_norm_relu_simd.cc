// Compiled once for each instruction set: the compiler turns the loops over channels into vectors.
#include "batch_norm_relu.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

namespace samplenet::SAMPLENET_ISA {

// Rows whose sums are one item of work: few enough that a block of 128 channels stays in the second cache, and fixed, so
// that the sums do not depend on the number of threads.
constexpr int64_t BLOCK = 128;

// Calls body(block, first row, rows) for every block, possibly at the same time.
template <class F>
void for_each_block(int64_t R, int64_t C, const Parallel& parallel, const F& body) {
  parallel.run((R + BLOCK - 1) / BLOCK, BLOCK * C / 4, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) body(block, block * BLOCK, std::min(BLOCK, R - block * BLOCK));
  });
}

// The passes over a row. `restrict`: the compiler makes vectors only where it sees that stores change none of the inputs.

// out = max(0, (row - mean) factor + shift)
template <class T>
void normalise_row(const T* __restrict__ row, const T* __restrict__ mean, const T* __restrict__ factor,
                   const T* __restrict__ shift, int64_t C, T* __restrict__ out) {
  for (int64_t c = 0; c < C; ++c) {
    const T value = (row[c] - mean[c]) * factor[c] + shift[c];
    out[c] = value < 0 ? T(0) : value;  // NaN is not below 0, and shows
  }
}

// ReLU lets the gradient through where the forward pass, in the same operations, was above 0.
template <class T>
T passed(T grad, T deviation, T factor, T shift) {
  return deviation * factor + shift > 0 ? grad : T(0);
}

template <class T>
void sum_row(const T* __restrict__ row, const T* __restrict__ grad, const T* __restrict__ mean,
             const T* __restrict__ factor, const T* __restrict__ shift, int64_t C, T* __restrict__ sum,
             T* __restrict__ sum_with_deviation) {
  for (int64_t c = 0; c < C; ++c) {
    const T deviation = row[c] - mean[c], g = passed(grad[c], deviation, factor[c], shift[c]);
    sum[c] += g;
    sum_with_deviation[c] += g * deviation;
  }
}

// out = factor (g - mean(g) - deviation mean(g deviation) / (variance + epsilon))
template <class T>
void differentiate_row(const T* __restrict__ row, const T* __restrict__ grad, const T* __restrict__ mean,
                       const T* __restrict__ factor, const T* __restrict__ shift, int64_t C,
                       const T* __restrict__ mean_grad, const T* __restrict__ slope, T* __restrict__ out) {
  for (int64_t c = 0; c < C; ++c) {
    const T deviation = row[c] - mean[c], g = passed(grad[c], deviation, factor[c], shift[c]);
    out[c] = factor[c] * (g - mean_grad[c] - deviation * slope[c]);
  }
}

template <class T>
void batch_norm_relu(const T* features, const T* scale, const T* shift, double epsilon, int64_t R, int64_t C, T* out,
                     T* mean, T* variance, const Parallel& parallel) {
  const int64_t blocks = (R + BLOCK - 1) / BLOCK;
  // Each block's mean and sum of squared deviations from it, joined in double precision (Chan's formula): the mean of
  // squares minus the square of the mean would lose digits.
  const std::unique_ptr<T[]> means(new T[blocks * C]), squares(new T[blocks * C]);
  for_each_block(R, C, parallel, [&](int64_t block, int64_t first, int64_t rows) {
    T *__restrict__ center = &means[block * C], *__restrict__ square = &squares[block * C];
    std::fill_n(center, C, T(0));
    std::fill_n(square, C, T(0));
    for (int64_t r = first; r < first + rows; ++r) {
      const T* row = features + r * C;
      for (int64_t c = 0; c < C; ++c) center[c] += row[c];
    }
    for (int64_t c = 0; c < C; ++c) center[c] /= static_cast<T>(rows);
    for (int64_t r = first; r < first + rows; ++r) {
      const T* row = features + r * C;
      for (int64_t c = 0; c < C; ++c) square[c] += (row[c] - center[c]) * (row[c] - center[c]);
    }
  });
  const std::unique_ptr<double[]> sum(new double[C]());
  const std::unique_ptr<T[]> factor(new T[C]);
  const auto rows_of = [&](int64_t block) { return static_cast<double>(std::min(BLOCK, R - block * BLOCK)); };
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t c = 0; c < C; ++c) sum[c] += rows_of(block) * means[block * C + c];
  }
  for (int64_t c = 0; c < C; ++c) mean[c] = static_cast<T>(sum[c] / R);
  std::fill_n(sum.get(), C, 0.0);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int64_t c = 0; c < C; ++c) {
      const double away = static_cast<double>(means[block * C + c]) - mean[c];
      sum[c] += squares[block * C + c] + rows_of(block) * away * away;
    }
  }
  for (int64_t c = 0; c < C; ++c) {
    variance[c] = static_cast<T>(sum[c] / R);
    factor[c] = static_cast<T>(scale[c] / std::sqrt(variance[c] + epsilon));
  }
  for_each_block(R, C, parallel, [&](int64_t, int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r) {
      normalise_row(features + r * C, mean, factor.get(), shift, C, out + r * C);
    }
  });
}

template <class T>
void batch_norm_relu_backward(const T* grad, const T* features, const T* scale, const T* shift, const T* mean,
                              const T* variance, double epsilon, int64_t R, int64_t C, T* grad_features, T* grad_scale,
                              T* grad_shift, const Parallel& parallel) {
  const int64_t blocks = (R + BLOCK - 1) / BLOCK;
  const std::unique_ptr<T[]> factor(new T[C]), of_scale(new T[blocks * C]), of_shift(new T[blocks * C]);
  for (int64_t c = 0; c < C; ++c) factor[c] = static_cast<T>(scale[c] / std::sqrt(variance[c] + epsilon));
  for_each_block(R, C, parallel, [&](int64_t block, int64_t first, int64_t rows) {
    T *scales = &of_scale[block * C], *shifts = &of_shift[block * C];
    std::fill_n(scales, C, T(0));
    std::fill_n(shifts, C, T(0));
    for (int64_t r = first; r < first + rows; ++r) {
      sum_row(features + r * C, grad + r * C, mean, factor.get(), shift, C, shifts, scales);
    }
  });
  const std::unique_ptr<T[]> mean_grad(new T[C]), slope(new T[C]);
  for (int64_t c = 0; c < C; ++c) {
    double shifts = 0, scales = 0;
    for (int64_t block = 0; block < blocks; ++block) {
      shifts += of_shift[block * C + c];
      scales += of_scale[block * C + c];
    }
    const double square = variance[c] + epsilon;
    grad_shift[c] = static_cast<T>(shifts);
    grad_scale[c] = static_cast<T>(scales / std::sqrt(square));
    mean_grad[c] = static_cast<T>(shifts / R);
    slope[c] = static_cast<T>(scales / R / square);
  }
  for_each_block(R, C, parallel, [&](int64_t, int64_t first, int64_t rows) {
    for (int64_t r = first; r < first + rows; ++r) {
      differentiate_row(features + r * C, grad + r * C, mean, factor.get(), shift, C, mean_grad.get(), slope.get(),
                        grad_features + r * C);
    }
  });
}

#define INSTANTIATE(T)                                                                                                 \
  template void batch_norm_relu<T>(const T*, const T*, const T*, double, int64_t, int64_t, T*, T*, T*,                 \
                                   const Parallel&);                                                                   \
  template void batch_norm_relu_backward<T>(const T*, const T*, const T*, const T*, const T*, const T*, double,        \
                                            int64_t, int64_t, T*, T*, T*, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet::SAMPLENET_ISA
