// Compiled once for each instruction set; see simd.h.
#include "knn.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "knn_brute.h"
#include "knn_tree.h"
#include "tree.h"
#include "types.h"

namespace samplenet::SAMPLENET_ISA {

// Where a tree is faster, build included. Measured on two AVX-512 cores for k from 1 to 128, points in a volume and on a
// surface: as many queries as points, from 2700 to 3500 points on; few queries do not pay for building it, unless k is
// so large that sorting the neighbours is what takes the time.
static bool use_tree(int64_t M, int64_t N, int64_t k) { return N > 3000 && (M >= 512 || k > 256); }

template <class T, class I>
void brute(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
           const Parallel& parallel) {
  constexpr int TILE = Brute<T>::TILE;
  const int64_t size = (N + BLOCK - 1) / BLOCK * 3 * BLOCK;
  const std::unique_ptr<T[]> blocks(new T[B * size]);
  parallel.run(B, N * 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) to_blocks(points + b * N * 3, N, &blocks[b * size]);
  });
  const int64_t tiles = (M + TILE - 1) / TILE;
  parallel.run(B * tiles, N * 8, [&](int64_t begin, int64_t end) {
    Brute<T> search(k);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / tiles, first = item % tiles * TILE, row = b * M + first;
      const int rows = static_cast<int>(std::min<int64_t>(TILE, M - first));
      search.search(queries + row * 3, rows, &blocks[b * size], N, dist2 + row * k, idx + row * k);
    }
  });
}

template <class P, class T, class I>
void with_tree(const T* queries, const T* points, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
               const Parallel& parallel) {
  const Tree<T, P> tree(points, N, parallel);
  const std::vector<int64_t> order = spatial_order<T, int64_t>(queries, M, parallel);  // near queries share caches
  parallel.run(M, 1000 + 50 * k, [&](int64_t begin, int64_t end) {
    TreeSearch<T, P> search(tree, k);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = order[i];
      const int64_t count = search.search(queries + row * 3, dist2 + row * k, idx + row * k);
      fill_infinite(dist2 + row * k, idx + row * k, count, k);
    }
  });
}

template <class T, class I>
void knn(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
         const Parallel& parallel) {
  if (B == 0 || M == 0) return;
  if (!use_tree(M, N, k)) return brute(queries, points, B, M, N, k, dist2, idx, parallel);
  const auto search = N <= std::numeric_limits<int32_t>::max() ? with_tree<int32_t, T, I> : with_tree<int64_t, T, I>;
  for (int64_t b = 0; b < B; ++b)
    search(queries + b * M * 3, points + b * N * 3, M, N, k, dist2 + b * M * k, idx + b * M * k, parallel);
}

#define INSTANTIATE(T, I) \
  template void knn<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet::SAMPLENET_ISA
