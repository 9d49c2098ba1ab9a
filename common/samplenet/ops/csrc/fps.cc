#include "fps.h"

#include "isa.h"

namespace samplenet {

template <class T, class I>
void farthest_points(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                     const Parallel& parallel) {
  SAMPLENET_DISPATCH(farthest_points, parallel, points, chosen, B, N, S, m, idx);
}

#define SAMPLENET_FPS(T, I) \
  template void farthest_points<T, I>(const T*, const I*, int64_t, int64_t, int64_t, int64_t, I*, const Parallel&);
SAMPLENET_FPS(float, int32_t)
SAMPLENET_FPS(float, int64_t)
SAMPLENET_FPS(double, int32_t)
SAMPLENET_FPS(double, int64_t)

}  // namespace samplenet
