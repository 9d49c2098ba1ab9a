#include "knn.h"

#include <algorithm>
#include <cstdint>

#include "isa.h"
#include "types.h"

namespace samplenet {

#define DECLARE(ISA)        \
  namespace ISA {            \
  template <class T, class I> \
  void knn(const T*, const T*, int64_t B, int64_t M, int64_t N, int64_t k, T*, I*, const Parallel&); \
  }
FOR_EACH_ISA(DECLARE)

template <class T, class I>
void knn(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
         const Parallel& parallel) {
  SAMPLENET_DISPATCH(knn, parallel, queries, points, B, M, N, k, dist2, idx);
}

template <class T, class I>
void knn_backward(const T* grad, const T* queries, const T* points, const I* idx, int64_t B, int64_t M, int64_t N,
                  int64_t k, T* grad_queries, T* grad_points, const Parallel& parallel) {
  // one cloud's gradient is summed by one thread in the order of the queries, so that it never changes
  parallel.run(2 * B, (M * k + N) * 4, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / 2;
      const T *q = queries + b * M * 3, *p = points + b * N * 3, *g = grad + b * M * k;
      const I* near = idx + b * M * k;
      T* out = item % 2 ? grad_points + b * N * 3 : grad_queries + b * M * 3;
      std::fill(out, out + 3 * (item % 2 ? N : M), T(0));
      for (int64_t i = 0; i < M; ++i)
        for (int64_t j = i * k; j < (i + 1) * k; ++j)
          for (int c = 0; c < 3; ++c) {
            const T term = 2 * g[j] * (q[3 * i + c] - p[3 * static_cast<int64_t>(near[j]) + c]);
            if (item % 2) out[3 * static_cast<int64_t>(near[j]) + c] -= term;
            else out[3 * i + c] += term;
          }
    }
  });
}

#define INSTANTIATE(T, I)                                                                                            \
  template void knn<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, const Parallel&);            \
  template void knn_backward<T, I>(const T*, const T*, const T*, const I*, int64_t, int64_t, int64_t, int64_t, T*, T*, \
                                   const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
