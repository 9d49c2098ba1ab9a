// Exact search that looks at every pair: the fastest way up to a few thousand points.
//
// Queries lie in the lanes of the registers, points are broadcast, and only the smallest distance to each block of 16
// points is kept: nine vector instructions for as many pairs as there are lanes. The k-th smallest of those minima
// bounds the k-th distance from above, so that a second look at few blocks finds the neighbours and their indices.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "simd.h"
#include "tree.h"

namespace samplenet::SAMPLENET_ISA {

constexpr int64_t CHUNK = 128;  // blocks looked at together: their minima stay in the nearest caches

// Completes a sorted row of `count` < k neighbours with the lowest indices not in it, at an infinite distance.
template <class T, class I>
void fill_infinite(T* dist2, I* idx, int64_t count, int64_t k) {
  if (count == k) return;
  std::vector<I> found(idx, idx + count);
  std::sort(found.begin(), found.end());
  auto next = found.begin();
  for (I i = 0; count < k; ++i)
    if (next != found.end() && *next == i) ++next;
    else dist2[count] = INF<T>, idx[count++] = i;
}

template <class T>
struct Brute {
  using S = Simd<T>;
  using V = typename S::V;
  static constexpr int W = S::W, Q = sizeof(V) == 64 ? 4 : 2, TILE = Q * W;
  static constexpr int64_t SORTED = 32;  // largest k whose bound comes from sorted vectors

  int64_t k;
  std::vector<T> minima = std::vector<T>(CHUNK * TILE), best = std::vector<T>(std::min(k, SORTED) * W);
  std::vector<T> dist2 = std::vector<T>(k + CHUNK * BLOCK + W), place = dist2, column = std::vector<T>(CHUNK);
  std::vector<int64_t> old = std::vector<int64_t>(k);
  std::vector<uint8_t> listed = std::vector<uint8_t>(TILE * CHUNK);
  T tile[3 * TILE], bound[TILE];
  int64_t count[TILE];

  explicit Brute(int64_t k) : k(k) {}

  // queries (rows, 3), rows <= TILE; blocks of n points as to_blocks lays them -> dist2_out, idx (rows, k)
  template <class I>
  void search(const T* queries, int rows, const T* blocks, int64_t n, T* dist2_out, I* idx) {
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < TILE; ++i) tile[c * TILE + i] = i < rows ? queries[3 * i + c] : INF<T>;
    std::fill(count, count + TILE, 0);
    const int vectors = (rows + W - 1) / W;
    for (int64_t first = 0; first * BLOCK < n; first += CHUNK) {
      const int64_t size = std::min(CHUNK, (n + BLOCK - 1) / BLOCK - first);
      const T* chunk = blocks + first * 3 * BLOCK;
      if (vectors == Q) block_minima<Q>(chunk, size, 0);
      else
        for (int v = 0; v < vectors; ++v) block_minima<1>(chunk, size, v);
      for (int v = 0; v < vectors; ++v) set_bound(size, v);
      for (int i = 0; i < rows; ++i)
        if (count[i] == k) bound[i] = std::min(bound[i], dist2_out[i * k + k - 1]);
      if (k == 1) find_one(chunk, first, size, rows, dist2_out, idx);
      else find(chunk, first, size, rows, dist2_out, idx);
    }
    for (int i = 0; i < rows; ++i) fill_infinite(dist2_out + i * k, idx + i * k, count[i], k);
  }

  // The smallest distance of the lanes of `N` vectors, from the v-th on, to each block.
  template <int N>
  void block_minima(const T* blocks, int64_t size, int v) {
    V x[N], y[N], z[N];
    for (int q = 0; q < N; ++q) {
      const T* at = tile + (v + q) * W;
      x[q] = S::load(at);
      y[q] = S::load(at + TILE);
      z[q] = S::load(at + 2 * TILE);
    }
    for (int64_t b = 0; b < size; ++b, blocks += 3 * BLOCK) {
      V low[N];
      for (int q = 0; q < N; ++q) low[q] = S::set(INF<T>);
      for (int i = 0; i < BLOCK; ++i) {
        const V px = S::set(blocks[i]), py = S::set(blocks[BLOCK + i]), pz = S::set(blocks[2 * BLOCK + i]);
        for (int q = 0; q < N; ++q) low[q] = S::min(squared<V>(x[q] - px, y[q] - py, z[q] - pz), low[q]);
      }
      for (int q = 0; q < N; ++q) S::store(&minima[b * TILE + (v + q) * W], low[q]);
    }
  }

  // A distance that at least k points lie within, for each lane of vector v.
  void set_bound(int64_t size, int v) {
    const T* column0 = &minima[v * W];
    if (size < k) {
      std::fill(bound + v * W, bound + (v + 1) * W, INF<T>);
    } else if (k == 1) {
      V low = S::load(column0);
      for (int64_t b = 1; b < size; ++b) low = S::min(S::load(column0 + b * TILE), low);
      S::store(bound + v * W, low);
    } else if (k <= SORTED) {  // the k smallest group minima of every lane, sorted by insertion
      const int64_t groups = std::min(size, 4 * k);
      for (int64_t j = 0; j < k; ++j) S::store(&best[j * W], S::set(INF<T>));
      for (int64_t g = 0; g < groups; ++g) {
        V low = S::load(column0 + g * TILE);
        for (int64_t b = g + groups; b < size; b += groups) low = S::min(S::load(column0 + b * TILE), low);
        for (int64_t j = 0; j < k; ++j) {
          const V kept = S::load(&best[j * W]);
          S::store(&best[j * W], S::min(low, kept));
          low = S::max(low, kept);
        }
      }
      S::store(bound + v * W, S::load(&best[(k - 1) * W]));
    } else {
      for (int lane = 0; lane < W; ++lane) {
        for (int64_t b = 0; b < size; ++b) column[b] = column0[b * TILE + lane];
        std::nth_element(column.begin(), column.begin() + (k - 1), column.begin() + size);
        bound[v * W + lane] = column[k - 1];
      }
    }
  }

  template <class I>
  void find_one(const T* blocks, int64_t first, int64_t size, int rows, T* dist2_out, I* idx) {
    for (int v = 0; v * W < rows; ++v) {
      uint32_t open = 0;  // lanes whose block is still to be found
      for (int lane = 0; lane < W && v * W + lane < rows; ++lane) {
        const int i = v * W + lane;
        if (bound[i] < INF<T> && (count[i] == 0 || bound[i] < dist2_out[i])) open |= 1u << lane;
      }
      const V low = S::load(bound + v * W);
      for (int64_t b = 0; open && b < size; ++b) {
        uint32_t hits = S::bits(S::equal(S::load(&minima[b * TILE + v * W]), low)) & open;
        open &= ~hits;
        for (; hits; hits &= hits - 1) {
          const int i = v * W + __builtin_ctz(hits);
          const uint32_t equal = look(blocks + b * 3 * BLOCK, i, [&](V d) { return S::equal(d, S::set(bound[i])); });
          dist2_out[i] = bound[i];
          idx[i] = static_cast<I>((first + b) * BLOCK + __builtin_ctz(equal));
          count[i] = 1;
        }
      }
    }
  }

  // Which points of a block pass `test`, one bit a point.
  template <class Test>
  uint32_t look(const T* block, int i, Test test) const {
    uint32_t bits = 0;
    for (int p = 0; p < BLOCK; p += W) bits |= S::bits(test(distances(block + p, i))) << p;
    return bits;
  }

  V distances(const T* block, int i) const {
    return squared<V>(S::set(tile[i]) - S::load(block), S::set(tile[TILE + i]) - S::load(block + BLOCK),
                      S::set(tile[2 * TILE + i]) - S::load(block + 2 * BLOCK));
  }

  template <class I>
  void find(const T* blocks, int64_t first, int64_t size, int rows, T* dist2_out, I* idx) {
    int in_list[TILE] = {};
    for (int i = 0; i < rows; ++i) bound[i] = std::min(bound[i], std::numeric_limits<T>::max());  // infinite: not found
    for (int i = rows; i < TILE; ++i) bound[i] = -INF<T>;  // no query
    for (int64_t b = 0; b < size; ++b)
      for (int v = 0; v * W < rows; ++v) {
        uint32_t hits = S::bits(S::less_equal(S::load(&minima[b * TILE + v * W]), S::load(bound + v * W)));
        for (; hits; hits &= hits - 1) {
          const int i = v * W + __builtin_ctz(hits);
          listed[i * CHUNK + in_list[i]++] = static_cast<uint8_t>(b);
        }
      }
    V steps[BLOCK / W];
    for (int p = 0; p < BLOCK; ++p) place[p] = static_cast<T>(p);
    for (int p = 0; p < BLOCK; p += W) steps[p / W] = S::load(&place[p]);
    for (int i = 0; i < rows; ++i) {
      T *out = dist2_out + i * k;
      std::copy(out, out + count[i], dist2.begin());
      std::copy(idx + i * k, idx + i * k + count[i], old.begin());
      int64_t n = count[i];
      for (int j = 0; j < in_list[i]; ++j) {
        const int64_t b = listed[i * CHUNK + j];
        for (int p = 0; p < BLOCK; p += W) {
          const V d = distances(blocks + b * 3 * BLOCK + p, i);
          const auto mask = S::less_equal(d, S::set(bound[i]));
          S::compress(&place[n], mask, steps[p / W] + S::set(static_cast<T>(b * BLOCK)));
          n += S::compress(&dist2[n], mask, d);
        }
      }
      keep_nearest(n, count[i], first * BLOCK, out, idx + i * k);
      count[i] = std::min(n, k);
    }
  }

  // The k smallest of dist2[0, n), sorted; equal ones stay in order. The first `kept` are from earlier chunks.
  template <class I>
  void keep_nearest(int64_t n, int64_t kept, int64_t base, T* out, I* idx) {
    const auto number = [&](int64_t j) {
      return static_cast<I>(j < kept ? old[j] : base + static_cast<int64_t>(place[j]));
    };
    if (n > 128) {
      struct Found {
        T dist2;
        int64_t at;
        bool operator<(const Found& other) const {
          return dist2 < other.dist2 || (dist2 == other.dist2 && at < other.at);
        }
      };
      std::vector<Found> found(n);
      for (int64_t j = 0; j < n; ++j) found[j] = {dist2[j], j};
      if (n > k) std::nth_element(found.begin(), found.begin() + k, found.end());
      std::sort(found.begin(), found.begin() + std::min(n, k));
      for (int64_t j = 0; j < std::min(n, k); ++j) {
        out[j] = found[j].dist2;
        idx[j] = number(found[j].at);
      }
      return;
    }
    std::fill(dist2.begin() + n, dist2.begin() + (n + W - 1) / W * W, INF<T>);
    for (int64_t j = 0; j < n; ++j) {  // the rank of each: how many come before it
      const V d = S::set(dist2[j]);
      int64_t rank = 0;
      for (int64_t v = 0; v < n; v += W) {
        const V other = S::load(&dist2[v]);
        const uint32_t before = j >= v + W ? ~0u : j <= v ? 0u : (1u << (j - v)) - 1;
        const uint32_t less = S::bits(S::less(other, d)), equal = S::bits(S::equal(other, d)) & before;
        rank += __builtin_popcount(less | equal);
      }
      if (rank < k) {
        out[rank] = dist2[j];
        idx[rank] = number(j);
      }
    }
  }
};

}  // namespace samplenet::SAMPLENET_ISA
