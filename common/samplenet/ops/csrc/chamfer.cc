#include "chamfer.h"

#include <algorithm>
#include <cstdint>

#include "knn.h"
#include "types.h"

namespace samplenet {

template <class T, class I>
void chamfer(const T* a, const T* b, int64_t B, int64_t M, int64_t N, T* a2b, T* b2a, I* idx_ab, I* idx_ba,
             const Parallel& parallel) {
  knn(a, b, B, M, N, 1, a2b, idx_ab, parallel);
  knn(b, a, B, N, M, 1, b2a, idx_ba, parallel);
}

template <class T, class I>
void chamfer_backward(const T* grad_a2b, const T* grad_b2a, const T* a, const T* b, const I* idx_ab, const I* idx_ba,
                      int64_t B, int64_t M, int64_t N, T* grad_a, T* grad_b, const Parallel& parallel) {
  // one cloud's gradient is summed by one thread in a fixed order, so that it never changes
  parallel.run(2 * B, (M + N) * 4, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t cloud = item / 2;
      const bool second = item % 2;  // the gradient of b: the same with the clouds exchanged
      const int64_t own = second ? N : M, others = second ? M : N;
      const T *p = (second ? b : a) + cloud * own * 3, *q = (second ? a : b) + cloud * others * 3;
      const T* grad_to = (second ? grad_b2a : grad_a2b) + cloud * own;
      const T* grad_from = (second ? grad_a2b : grad_b2a) + cloud * others;
      const I *to = (second ? idx_ba : idx_ab) + cloud * own, *from = (second ? idx_ab : idx_ba) + cloud * others;
      T* out = (second ? grad_b : grad_a) + cloud * own * 3;
      for (int64_t i = 0; i < own; ++i)
        for (int c = 0; c < 3; ++c) out[3 * i + c] = 2 * grad_to[i] * (p[3 * i + c] - q[3 * static_cast<int64_t>(to[i]) + c]);
      for (int64_t j = 0; j < others; ++j) {
        const int64_t i = from[j];
        for (int c = 0; c < 3; ++c) out[3 * i + c] += 2 * grad_from[j] * (p[3 * i + c] - q[3 * j + c]);
      }
    }
  });
}

#define INSTANTIATE(T, I)                                                                                    \
  template void chamfer<T, I>(const T*, const T*, int64_t, int64_t, int64_t, T*, T*, I*, I*, const Parallel&);     \
  template void chamfer_backward<T, I>(const T*, const T*, const T*, const T*, const I*, const I*, int64_t, int64_t, \
                                       int64_t, T*, T*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
