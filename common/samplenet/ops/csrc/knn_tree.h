// Exact search with a tree, for clouds too large to look at every pair.
//
// A box is passed over only if its distance, computed by the same rounded operations as that of a point, exceeds the
// k-th best: rounding keeps order, so no point in the box could have been nearer, and the result is that of brute force.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "simd.h"
#include "tree.h"

namespace samplenet::SAMPLENET_ISA {

// Distances from (x, y, z) to the 16 boxes of a node, by the operations that give a point's distance.
template <class T>
struct BoxDistances {
  using S = Simd<T>;
  using V = typename S::V;

  template <class Store>
  static void each(const T* boxes, V x, V y, V z, Store store) {
    for (int p = 0; p < BLOCK; p += S::W) {
      const auto outside = [&](int c, V at) {
        const V low = S::load(boxes + c * BLOCK + p), high = S::load(boxes + (3 + c) * BLOCK + p);
        return S::max(S::max(low - at, at - high), S::set(T(0)));
      };
      store(p, squared<V>(outside(0, x), outside(1, y), outside(2, z)));
    }
  }
};

template <class T, class P>
class TreeSearch {
  using S = Simd<T>;
  using V = typename S::V;
  static constexpr int64_t SORTED = 32;  // up to here the neighbours found are kept sorted, above in a heap
  struct Found {
    T dist2;
    P index;
    bool operator<(const Found& other) const {
      return dist2 < other.dist2 || (dist2 == other.dist2 && index < other.index);
    }
  };

  const Tree<T, P>& tree_;
  const int64_t k_;
  std::vector<Found> found_;
  int64_t count_ = 0;
  T bound_;  // points farther than this are not wanted
  V x_, y_, z_;

 public:
  TreeSearch(const Tree<T, P>& tree, int64_t k) : tree_(tree), k_(k), found_(k) {}

  // One query (3) -> dist2, idx (k); returns how many have a finite distance.
  template <class I>
  int64_t search(const T* query, T* dist2, I* idx) {
    count_ = 0;
    if (!(std::isfinite(query[0]) && std::isfinite(query[1]) && std::isfinite(query[2]))) return 0;
    bound_ = std::numeric_limits<T>::max();
    x_ = S::set(query[0]);
    y_ = S::set(query[1]);
    z_ = S::set(query[2]);
    descend(static_cast<int>(tree_.boxes.size()) - 1, 0);
    if (k_ > SORTED) std::sort(found_.begin(), found_.begin() + count_);
    for (int64_t j = 0; j < count_; ++j) dist2[j] = found_[j].dist2, idx[j] = static_cast<I>(found_[j].index);
    return count_;
  }

 private:
  void descend(int level, int64_t node) {
    V distance[BLOCK / S::W];
    V low = S::set(INF<T>);
    BoxDistances<T>::each(&tree_.boxes[level][node * 6 * BLOCK], x_, y_, z_, [&](int p, V d) {
      distance[p / S::W] = d;
      low = S::min(d, low);
    });
    const auto within = [&](auto test) {
      uint32_t bits = 0;
      for (int p = 0; p < BLOCK; p += S::W) bits |= S::bits(test(distance[p / S::W])) << p;
      return bits;
    };
    const T smallest = S::smallest(low);
    if (!(smallest <= bound_)) return;
    const int first = __builtin_ctz(within([&](V d) { return S::equal(d, S::set(smallest)); }));
    visit(level, node * BLOCK + first);

    // the nearest child has lowered the bound; of the others few are left, to be taken from near to far
    uint32_t hits = within([&](V d) { return S::less_equal(d, S::set(bound_)); }) & ~(1u << first);
    if (hits == 0) return;
    T all[BLOCK], near[BLOCK];
    int8_t child[BLOCK];
    for (int p = 0; p < BLOCK; p += S::W) S::store(all + p, distance[p / S::W]);
    int n = 0;
    for (; hits; hits &= hits - 1) {
      const int c = __builtin_ctz(hits);
      int j = n++;
      for (; j > 0 && near[j - 1] > all[c]; --j) {
        near[j] = near[j - 1];
        child[j] = child[j - 1];
      }
      near[j] = all[c];
      child[j] = static_cast<int8_t>(c);
    }
    for (int j = 0; j < n && near[j] <= bound_; ++j) visit(level, node * BLOCK + child[j]);
  }

  void visit(int level, int64_t child) {
    if (level > 0) descend(level - 1, child);
    else look(child);
  }

  void look(int64_t block) {
    const T* at = &tree_.blocks[block * 3 * BLOCK];
    T distance[BLOCK];
    uint32_t hits = 0;
    for (int p = 0; p < BLOCK; p += S::W) {
      const V d = squared<V>(x_ - S::load(at + p), y_ - S::load(at + BLOCK + p), z_ - S::load(at + 2 * BLOCK + p));
      S::store(distance + p, d);
      hits |= S::bits(S::less_equal(d, S::set(bound_))) << p;
    }
    for (; hits; hits &= hits - 1) {
      const int p = __builtin_ctz(hits);
      keep({distance[p], tree_.index[block * BLOCK + p]});
    }
  }

  void keep(Found point) {
    if (count_ == k_ && !(point < (k_ > SORTED ? found_[0] : found_[k_ - 1]))) return;
    if (k_ > SORTED) {
      if (count_ == k_) std::pop_heap(found_.begin(), found_.end()), --count_;
      found_[count_++] = point;
      std::push_heap(found_.begin(), found_.begin() + count_);
      if (count_ == k_) bound_ = found_[0].dist2;
      return;
    }
    int64_t j = count_ < k_ ? count_++ : k_ - 1;
    for (; j > 0 && point < found_[j - 1]; --j) found_[j] = found_[j - 1];
    found_[j] = point;
    if (count_ == k_) bound_ = found_[k_ - 1].dist2;
  }
};

}  // namespace samplenet::SAMPLENET_ISA
