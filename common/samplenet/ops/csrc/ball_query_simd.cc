// Compiled once for each instruction set; see simd.h.
//
// Either every query looks at the points in the order of their indices until it has k, or a tree finds all points of
// its ball. The first is fast for full balls, the second where most queries would look at the whole cloud.
#include "ball_query.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "knn_tree.h"
#include "simd.h"
#include "tree.h"
#include "types.h"

namespace samplenet::SAMPLENET_ISA {
namespace {

constexpr int64_t QUERIES = 32;  // that look at a chunk of blocks while it is in the nearest cache
constexpr int64_t CHUNK = 128;

template <class T>
struct Ball {
  T bound;  // squared distances below it are inside
  int64_t k;

  // Which points of a block are inside, one bit a point: padding is not, nor are distances that are not a number.
  uint32_t holds(const T* query, const T* block) const {
    using S = Simd<T>;
    using V = typename S::V;
    const V x = S::set(query[0]), y = S::set(query[1]), z = S::set(query[2]);
    uint32_t bits = 0;
    for (int p = 0; p < BLOCK; p += S::W) {
      const T* at = block + p;
      const V d = squared<V>(x - S::load(at), y - S::load(at + BLOCK), z - S::load(at + 2 * BLOCK));
      bits |= S::bits(S::less(d, S::set(bound))) << p;
    }
    return bits;
  }

  // Fills up a row of which `count` indices are found.
  template <class I>
  void fill(I* idx, int64_t count) const {
    std::fill(idx + count, idx + k, count > 0 ? idx[0] : I(0));
  }
};

// queries (rows, 3), blocks as to_blocks lays them -> idx (rows, k), count (rows); returns the number of blocks seen.
template <class T, class I>
int64_t in_order(const Ball<T>& ball, const T* queries, int64_t rows, const T* blocks, int64_t size, I* idx, I* count) {
  int64_t looked = 0;
  std::fill(count, count + rows, I(0));
  for (int64_t first = 0; first < size; first += CHUNK) {
    const int64_t end = std::min(first + CHUNK, size);
    for (int64_t i = 0; i < rows; ++i) {
      int64_t found = count[i], b = first;
      for (; b < end && found < ball.k; ++b) {
        uint32_t hits = ball.holds(queries + 3 * i, blocks + b * 3 * BLOCK);
        for (; hits && found < ball.k; hits &= hits - 1)
          idx[i * ball.k + found++] = static_cast<I>(b * BLOCK + __builtin_ctz(hits));
      }
      looked += b - first;
      count[i] = static_cast<I>(found);
    }
  }
  for (int64_t i = 0; i < rows; ++i) ball.fill(idx + i * ball.k, count[i]);
  return looked;
}

template <class T, class P>
class TreeBall {
  using S = Simd<T>;
  using V = typename S::V;
  const Tree<T, P>& tree_;
  const Ball<T> ball_;
  const T* query_ = nullptr;
  std::vector<P> found_;

 public:
  TreeBall(const Tree<T, P>& tree, const Ball<T>& ball) : tree_(tree), ball_(ball) {}

  // One query (3) -> idx (k); returns how many are found.
  template <class I>
  I search(const T* query, I* idx) {
    query_ = query;
    found_.clear();
    descend(static_cast<int>(tree_.boxes.size()) - 1, 0);
    const auto end = found_.begin() + std::min<int64_t>(ball_.k, found_.size());
    if (end != found_.end()) std::nth_element(found_.begin(), end, found_.end());
    std::sort(found_.begin(), end);
    std::copy(found_.begin(), end, idx);
    ball_.fill(idx, end - found_.begin());
    return static_cast<I>(end - found_.begin());
  }

 private:
  // A box that starts outside the ball holds no point of it: rounding keeps order.
  void descend(int level, int64_t node) {
    const V x = S::set(query_[0]), y = S::set(query_[1]), z = S::set(query_[2]);
    uint32_t hits = 0;
    BoxDistances<T>::each(&tree_.boxes[level][node * 6 * BLOCK], x, y, z,
                          [&](int p, V d) { hits |= S::bits(S::less(d, S::set(ball_.bound))) << p; });
    for (; hits; hits &= hits - 1) {
      const int64_t child = node * BLOCK + __builtin_ctz(hits);
      if (level > 0) descend(level - 1, child);
      else look(child);
    }
  }

  void look(int64_t block) {
    for (uint32_t hits = ball_.holds(query_, &tree_.blocks[block * 3 * BLOCK]); hits; hits &= hits - 1)
      found_.push_back(tree_.index[block * BLOCK + __builtin_ctz(hits)]);
  }
};

template <class P, class T, class I>
void with_tree(const Ball<T>& ball, const T* queries, const T* points, int64_t M, int64_t N, I* idx, I* count,
               const Parallel& parallel) {
  const Tree<T, P> tree(points, N, parallel);
  parallel.run(M, 1000, [&](int64_t begin, int64_t end) {
    TreeBall<T, P> search(tree, ball);
    for (int64_t i = begin; i < end; ++i) count[i] = search.search(queries + 3 * i, idx + i * ball.k);
  });
}

// Whether a tree saves time, its building included: some queries of the first cloud are tried. In units of a block that
// is looked at, 5 ns; measured on two AVX2 cores, for points in a volume and on the walls of a room.
template <class T>
bool tree_saves(Ball<T> ball, const T* queries, const T* blocks, int64_t M, int64_t size) {
  if (size < 200 || M < 512) return false;
  ball.k = std::min(ball.k, size * BLOCK);  // a larger k finds no more
  T some[3 * QUERIES];
  for (int64_t i = 0; i < QUERIES; ++i) std::copy_n(queries + i * M / QUERIES * 3, 3, some + 3 * i);
  std::vector<int64_t> idx(QUERIES * ball.k), count(QUERIES);
  const double looked = in_order(ball, some, QUERIES, blocks, size, idx.data(), count.data());
  double found = 0;
  for (int64_t i = 0; i < QUERIES; ++i) found += count[i];
  const double in_a_ball = found / looked * size;
  return M * (looked / QUERIES) > 370 * size + M * (100 + 2.2 * in_a_ball);
}

}  // namespace

template <class T, class I>
void ball_query(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, double radius, int64_t k, I* idx,
                I* count, const Parallel& parallel) {
  if (B == 0 || M == 0) return;
  const Ball<T> ball{static_cast<T>(radius) * static_cast<T>(radius), k};
  const int64_t size = (N + BLOCK - 1) / BLOCK, tiles = (M + QUERIES - 1) / QUERIES;
  const std::unique_ptr<T[]> blocks(new T[B * size * 3 * BLOCK]);
  parallel.run(B, N * 2, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) to_blocks(points + b * N * 3, N, &blocks[b * size * 3 * BLOCK]);
  });
  if (tree_saves(ball, queries, blocks.get(), M, size)) {
    const auto search = N <= std::numeric_limits<int32_t>::max() ? with_tree<int32_t, T, I> : with_tree<int64_t, T, I>;
    for (int64_t b = 0; b < B; ++b)
      search(ball, queries + b * M * 3, points + b * N * 3, M, N, idx + b * M * k, count + b * M, parallel);
    return;
  }
  parallel.run(B * tiles, QUERIES * size * 5, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / tiles, first = item % tiles * QUERIES, row = b * M + first;
      in_order(ball, queries + row * 3, std::min(QUERIES, M - first), &blocks[b * size * 3 * BLOCK], size,
               idx + row * k, count + row);
    }
  });
}

#define INSTANTIATE(T, I)                                                                                        \
  template void ball_query<T, I>(const T*, const T*, int64_t, int64_t, int64_t, double, int64_t, I*, I*,         \
                                 const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet::SAMPLENET_ISA
