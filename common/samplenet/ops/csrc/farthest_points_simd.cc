// Compiled once for each instruction set; see simd.h.
#include "farthest_points.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "farthest_points_tree.h"
#include "simd.h"
#include "tree.h"
#include "types.h"

namespace samplenet::SAMPLENET_ISA {

// Where a tree that passes over what a new point cannot change is faster, build included. Measured on AVX-512: equal at
// 2048 to 512 and at 4096 to 512. Above 2^24 points a float cannot count the steps of `Farthest`.
static bool use_tree(int64_t N, int64_t m) { return N >= 2048 && (m >= 512 || N > (int64_t{1} << 24)); }

// Looks at every point each time.
template <class T>
class Farthest {
  using S = Simd<T>;
  using V = typename S::V;
  static constexpr int W = S::W, UNROLL = 4, STEP = W * UNROLL;
  int64_t places_;
  std::vector<T> x_, y_, z_, nearest_;  // squared distance to the nearest picked point; -1: picked, or padding

 public:
  Farthest(const T* points, int64_t n)
      : places_((n + STEP - 1) / STEP * STEP), x_(places_), y_(places_), z_(places_), nearest_(places_, T(-1)) {
    for (int64_t i = 0; i < n; ++i) {
      x_[i] = points[3 * i];
      y_[i] = points[3 * i + 1];
      z_[i] = points[3 * i + 2];
      nearest_[i] = INF<T>;
    }
  }

  bool picked(int64_t i) const { return nearest_[i] < 0; }

  // Picks point i; returns the farthest point then.
  int64_t pick(int64_t i) {
    nearest_[i] = T(-1);
    const V x = S::set(x_[i]), y = S::set(y_[i]), z = S::set(z_[i]);
    V best = S::set(T(-2)), where = best;  // for each lane: the largest, and the first step it stands in
    for (int64_t step = 0; step < places_; step += STEP) {
      V near[UNROLL];
      for (int u = 0; u < UNROLL; ++u) {
        const int64_t at = step + u * W;
        const V d = squared<V>(x - S::load(&x_[at]), y - S::load(&y_[at]), z - S::load(&z_[at]));
        near[u] = S::min(d, S::load(&nearest_[at]));
        S::store(&nearest_[at], near[u]);
      }
      const V largest = S::max(S::max(near[0], near[1]), S::max(near[2], near[3]));
      where = S::select(S::less(best, largest), S::set(static_cast<T>(step / STEP)), where);
      best = S::max(largest, best);
    }
    const T farthest = S::largest(best);
    T step[W];
    S::store(step, where);
    int64_t found = places_;
    for (uint32_t ties = S::bits(S::equal(best, S::set(farthest))); ties; ties &= ties - 1) {
      const int lane = __builtin_ctz(ties);
      int64_t at = static_cast<int64_t>(step[lane]) * STEP + lane;
      while (nearest_[at] != farthest) at += W;
      found = std::min(found, at);
    }
    return found;
  }
};

template <class Method, class T, class I>
void sample(Method method, const I* chosen, int64_t S, int64_t m, I* idx) {
  int64_t count = 0, next = 0;
  for (int64_t s = 0; s < S && count < m; ++s) {
    if (method.picked(chosen[s])) continue;
    idx[count++] = chosen[s];
    next = method.pick(chosen[s]);
  }
  while (count < m) {
    idx[count++] = static_cast<I>(next);
    if (count < m) next = method.pick(next);
  }
}

template <class T, class I>
void farthest_points(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                     const Parallel& parallel) {
  parallel.run(B, N * m / 8, [&](int64_t begin, int64_t end) {
    const Parallel alone{1, [](int64_t n, int64_t, const Body& body) { body(0, n); }};
    for (int64_t b = begin; b < end; ++b) {
      const T* cloud = points + b * N * 3;
      if (!use_tree(N, m)) {
        sample<Farthest<T>, T>(Farthest<T>(cloud, N), chosen + b * S, S, m, idx + b * m);
      } else if (N <= std::numeric_limits<int32_t>::max()) {
        sample<FarthestTree<T, int32_t>, T>({cloud, N, alone}, chosen + b * S, S, m, idx + b * m);
      } else {
        sample<FarthestTree<T, int64_t>, T>({cloud, N, alone}, chosen + b * S, S, m, idx + b * m);
      }
    }
  });
}

#define INSTANTIATE(T, I) \
  template void farthest_points<T, I>(const T*, const I*, int64_t, int64_t, int64_t, int64_t, I*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet::SAMPLENET_ISA
