// Compiled once for each instruction set; see simd.h.
#include "pooled_linear.h"

#include <algorithm>
#include <cstdint>
#include <memory>

#include "simd.h"
#include "types.h"

namespace samplenet::SAMPLENET_ISA {

// A matrix product that keeps, of each column, the largest value and its row: a tile of ROWS points by WIDTH channels
// is summed over C in registers, compared with the best so far, and forgotten.
template <class T>
class PanelSearch {
  using S = Simd<T>;
  using V = typename S::V;
#if defined(__AVX512F__)
  static constexpr int ROWS = 12;  // of 32 registers, 2 * ROWS hold sums
#else
  static constexpr int ROWS = 6;  // of 16
#endif

 public:
  static constexpr int WIDTH = 2 * S::W;
  // Points whose features stay in the second cache while every panel of weights passes over them; a multiple of ROWS.
  // Their rows are noted in a T, exactly.
  static constexpr int64_t BLOCK = 20 * 12;

  // weight (C, F) -> panels (ceil(F / WIDTH), C, WIDTH), channels beyond F with zeros.
  static void pack(const T* weight, int64_t C, int64_t F, T* panels) {
    for (int64_t first = 0; first < F; first += WIDTH) {
      const int64_t width = std::min<int64_t>(WIDTH, F - first);
      for (int64_t c = 0; c < C; ++c, panels += WIDTH) {
        std::copy_n(weight + c * F + first, width, panels);
        std::fill(panels + width, panels + WIDTH, T(0));
      }
    }
  }

  T best[WIDTH], row[WIDTH], sum[WIDTH];  // sum: of all products, not a number if one of them is not

  // tile = features of ROWS points times a panel of weights. Not inlined: the compiler would keep the maxima of `search`
  // in registers, and a sum of this loop in memory.
  __attribute__((noinline)) static void multiply(const T* const (&point)[ROWS], int64_t C, const T* panel,
                                                 V (&tile)[ROWS][2]) {
    V out[ROWS][2];
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) out[r][0] = out[r][1] = S::set(T(0));
    for (int64_t c = 0; c < C; ++c) {
      const V left = S::load(panel + c * WIDTH), right = S::load(panel + c * WIDTH + S::W);
#pragma GCC unroll 12
      for (int r = 0; r < ROWS; ++r) {
        const V feature = S::set(point[r][c]);
        out[r][0] = S::fma(feature, left, out[r][0]);
        out[r][1] = S::fma(feature, right, out[r][1]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; ++r) {
      tile[r][0] = out[r][0];
      tile[r][1] = out[r][1];
    }
  }

  // Searches n <= BLOCK points.
  void search(const T* features, int64_t n, int64_t C, const T* panel) {
    V best_of[2], row_of[2], sum_of[2];
    for (int half = 0; half < 2; ++half) {
      best_of[half] = S::set(-INF<T>);
      row_of[half] = sum_of[half] = S::set(T(0));
    }
    for (int64_t first = 0; first < n; first += ROWS) {
      const T* point[ROWS];  // the last one repeated, which changes no maximum
      for (int r = 0; r < ROWS; ++r) point[r] = features + std::min<int64_t>(first + r, n - 1) * C;
      V out[ROWS][2];
      multiply(point, C, panel, out);
#pragma GCC unroll 12
      for (int r = 0; r < ROWS; ++r) {
        const V here = S::set(static_cast<T>(first + r));
        for (int half = 0; half < 2; ++half) {
          row_of[half] = S::select(S::less(best_of[half], out[r][half]), here, row_of[half]);
          best_of[half] = S::max(out[r][half], best_of[half]);
          sum_of[half] = sum_of[half] + out[r][half];
        }
      }
    }
    for (int half = 0; half < 2; ++half) {
      S::store(best + half * S::W, best_of[half]);
      S::store(row + half * S::W, row_of[half]);
      S::store(sum + half * S::W, sum_of[half]);
    }
  }
};

template <class T, class I>
void pooled_linear(const T* features, const T* weight, int64_t B, int64_t N, int64_t C, int64_t F, T* values, I* idx,
                   const Parallel& parallel) {
  if (B == 0 || F == 0) return;
  using Search = PanelSearch<T>;
  constexpr int64_t WIDTH = Search::WIDTH;
  const int64_t panels = (F + WIDTH - 1) / WIDTH;
  const std::unique_ptr<T[]> packed(new T[panels * C * WIDTH]);
  Search::pack(weight, C, F, packed.get());
  // An item is a cloud, or where clouds are few a part of a cloud's panels.
  const int64_t parts = B >= 2 * parallel.threads ? 1 : std::min<int64_t>(panels, 4 * parallel.threads);
  parallel.run(B * parts, N * C * F / parts / 32, [&](int64_t begin, int64_t end) {
    Search search;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / parts, part = item % parts;
      for (int64_t first = 0; first < N; first += Search::BLOCK) {
        const int64_t count = std::min<int64_t>(Search::BLOCK, N - first);
        for (int64_t p = panels * part / parts; p < panels * (part + 1) / parts; ++p) {
          search.search(features + (b * N + first) * C, count, C, &packed[p * C * WIDTH]);
          for (int64_t j = 0; j < std::min<int64_t>(WIDTH, F - p * WIDTH); ++j) {
            const int64_t at = b * F + p * WIDTH + j;
            if (first == 0 || search.best[j] > values[at]) {
              values[at] = search.best[j];
              idx[at] = static_cast<I>(first + static_cast<int64_t>(search.row[j]));
            }
            if (search.sum[j] != search.sum[j]) values[at] = search.sum[j];  // and stays: no value exceeds NaN
          }
        }
      }
    }
  });
}

#define INSTANTIATE(T, I) \
  template void pooled_linear<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet::SAMPLENET_ISA
