#include "pooled_linear.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "isa.h"
#include "types.h"

namespace samplenet {

#define DECLARE(ISA)                                                                                              \
  namespace ISA {                                                                                                 \
  template <class T, class I>                                                                                     \
  void pooled_linear(const T*, const T*, int64_t B, int64_t N, int64_t C, int64_t F, T*, I*, const Parallel&); \
  }
FOR_EACH_ISA(DECLARE)

template <class T, class I>
void pooled_linear(const T* features, const T* weight, int64_t B, int64_t N, int64_t C, int64_t F, T* values, I* idx,
                   const Parallel& parallel) {
  SAMPLENET_DISPATCH(pooled_linear, parallel, features, weight, B, N, C, F, values, idx);
}

// (rows, columns) -> (columns, rows)
template <class T>
void transpose(const T* matrix, int64_t rows, int64_t columns, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = matrix[r * columns + c];
  }
}

template <class T>
void add_multiple(T* sum, T factor, const T* row, int64_t C) {
  for (int64_t c = 0; c < C; ++c) sum[c] += factor * row[c];
}

template <class T, class I>
void pooled_linear_backward(const T* grad, const T* features, const T* weight, const I* idx, int64_t B, int64_t N,
                            int64_t C, int64_t F, T* grad_features, T* grad_weight, const Parallel& parallel) {
  const std::unique_ptr<T[]> weights(new T[F * C]), sums(new T[F * C]);  // (F, C): a channel's weights side by side
  transpose(weight, C, F, weights.get());
  // Each channel has sent its gradient to one point. Most are zero, where ReLU has cut them off. A cloud's sums are one
  // thread's, in the order of the channels, and a channel's in the order of the clouds, so that they never change.
  parallel.run(B, (N + F) * C / 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      T* out = grad_features + b * N * C;
      std::fill_n(out, N * C, T(0));
      for (int64_t f = 0; f < F; ++f) {
        if (const T g = grad[b * F + f]; g != 0) add_multiple(out + idx[b * F + f] * C, g, &weights[f * C], C);
      }
    }
  });
  parallel.run(F, B * C / 4, [&](int64_t begin, int64_t end) {
    std::fill_n(&sums[begin * C], (end - begin) * C, T(0));
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t f = begin; f < end; ++f) {
        const T* point = features + (b * N + idx[b * F + f]) * C;
        if (const T g = grad[b * F + f]; g != 0) add_multiple(&sums[f * C], g, point, C);
      }
    }
  });
  transpose(sums.get(), F, C, grad_weight);
}

#define INSTANTIATE(T, I)                                                                                          \
  template void pooled_linear<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, const Parallel&);  \
  template void pooled_linear_backward<T, I>(const T*, const T*, const T*, const I*, int64_t, int64_t, int64_t,        \
                                             int64_t, T*, T*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
