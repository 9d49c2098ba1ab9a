// Farthest point sampling that leaves out what a new point cannot change.
//
// For each box of a tree the largest `nearest` inside is kept. A picked point at least that far from the box changes
// nothing in it (box distances are rounded as point distances are: see knn_tree.h), so only boxes around the new point
// are gone through, and the maximum of the root is the next point.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "knn_tree.h"
#include "simd.h"
#include "tree.h"

namespace samplenet::SAMPLENET_ISA {

template <class T, class P>
class FarthestTree {
  using S = Simd<T>;
  using V = typename S::V;
  struct Largest {
    T value;
    P index;  // the lowest point that has it
  };

  Tree<T, P> tree_;
  std::vector<T> nearest_;               // by place; -1: picked, or padding
  std::vector<P> place_;                 // of each point
  std::vector<std::vector<T>> largest_;  // [level][child]
  std::vector<std::vector<P>> who_;
  V x_, y_, z_;

 public:
  FarthestTree(const T* points, int64_t n, const Parallel& parallel) : tree_(points, n, parallel) {
    nearest_.assign(tree_.index.size(), T(-1));
    place_.resize(n);
    for (size_t at = 0; at < tree_.index.size(); ++at)
      if (tree_.index[at] < n) {
        place_[tree_.index[at]] = static_cast<P>(at);
        nearest_[at] = INF<T>;
      }
    size_t children = tree_.index.size() / BLOCK;
    for (const auto& boxes : tree_.boxes) {
      const size_t places = boxes.size() / 6;
      largest_.emplace_back(places, T(-1));
      std::fill(largest_.back().begin(), largest_.back().begin() + children, INF<T>);
      who_.emplace_back(places, P(0));
      children = places / BLOCK;
    }
  }

  bool picked(int64_t i) const { return nearest_[place_[i]] < 0; }

  // Picks point i; returns the farthest point then.
  int64_t pick(int64_t i) {
    const int64_t place = place_[i];
    nearest_[place] = T(-1);
    int64_t child = place / BLOCK;
    for (auto& level : largest_) level[child] = INF<T>, child /= BLOCK;  // its own boxes have to be gone through
    const T* block = &tree_.blocks[place / BLOCK * 3 * BLOCK + place % BLOCK];
    x_ = S::set(block[0]);
    y_ = S::set(block[BLOCK]);
    z_ = S::set(block[2 * BLOCK]);
    return update(static_cast<int>(largest_.size()) - 1, 0).index;
  }

 private:
  Largest update(int level, int64_t node) {
    T* largest = &largest_[level][node * BLOCK];
    P* who = &who_[level][node * BLOCK];
    uint32_t hits = 0;
    BoxDistances<T>::each(&tree_.boxes[level][node * 6 * BLOCK], x_, y_, z_, [&](int p, V d) {
      // where both are infinite there may be points that have not been looked at; so not only where d is less
      const V far = S::load(largest + p);
      hits |= (S::bits(S::less(d, far)) | S::bits(S::equal(far, S::set(INF<T>)))) << p;
    });
    for (; hits; hits &= hits - 1) {
      const int c = __builtin_ctz(hits);
      const Largest found = level > 0 ? update(level - 1, node * BLOCK + c) : look(node * BLOCK + c);
      largest[c] = found.value;
      who[c] = found.index;
    }
    return first_largest(largest, who);
  }

  Largest look(int64_t block) {
    const T* at = &tree_.blocks[block * 3 * BLOCK];
    T* nearest = &nearest_[block * BLOCK];
    for (int p = 0; p < BLOCK; p += S::W) {
      const V d = squared<V>(x_ - S::load(at + p), y_ - S::load(at + BLOCK + p), z_ - S::load(at + 2 * BLOCK + p));
      S::store(nearest + p, S::min(d, S::load(nearest + p)));
    }
    return first_largest(nearest, &tree_.index[block * BLOCK]);
  }

  static Largest first_largest(const T* value, const P* index) {
    V best = S::load(value);
    for (int p = S::W; p < BLOCK; p += S::W) best = S::max(best, S::load(value + p));
    const T largest = S::largest(best);
    uint32_t ties = 0;
    for (int p = 0; p < BLOCK; p += S::W) ties |= S::bits(S::equal(S::load(value + p), S::set(largest))) << p;
    P lowest = index[__builtin_ctz(ties)];
    for (ties &= ties - 1; ties; ties &= ties - 1) lowest = std::min(lowest, index[__builtin_ctz(ties)]);
    return {largest, lowest};
  }
};

}  // namespace samplenet::SAMPLENET_ISA
