#include "ball_query.h"

#include "isa.h"
#include "types.h"

namespace samplenet {

#define DECLARE(ISA)                                                                                     \
  namespace ISA {                                                                                        \
  template <class T, class I>                                                                            \
  void ball_query(const T*, const T*, int64_t B, int64_t M, int64_t N, double radius, int64_t k, I*, I*, \
                  const Parallel&);                                                                      \
  }
FOR_EACH_ISA(DECLARE)

template <class T, class I>
void ball_query(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, double radius, int64_t k, I* idx,
                I* count, const Parallel& parallel) {
  SAMPLENET_DISPATCH(ball_query, parallel, queries, points, B, M, N, radius, k, idx, count);
}

#define INSTANTIATE(T, I)                                                                                        \
  template void ball_query<T, I>(const T*, const T*, int64_t, int64_t, int64_t, double, int64_t, I*, I*,         \
                                 const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
