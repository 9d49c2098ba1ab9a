#include "farthest_points.h"

#include "isa.h"
#include "types.h"

namespace samplenet {

#define DECLARE(ISA)        \
  namespace ISA {            \
  template <class T, class I> \
  void farthest_points(const T*, const I*, int64_t B, int64_t N, int64_t S, int64_t m, I*, const Parallel&); \
  }
FOR_EACH_ISA(DECLARE)

template <class T, class I>
void farthest_points(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                     const Parallel& parallel) {
  SAMPLENET_DISPATCH(farthest_points, parallel, points, chosen, B, N, S, m, idx);
}

#define INSTANTIATE(T, I) \
  template void farthest_points<T, I>(const T*, const I*, int64_t, int64_t, int64_t, int64_t, I*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
