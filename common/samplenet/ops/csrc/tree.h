// A point cloud in an order that keeps near points together, with boxes around them: what large searches prune with.
//
// The points are split at medians into blocks of 16, and 16 blocks make a node, 16 nodes a node of the level above, up
// to one root. Every level is a plain array: child c of node n is number 16 n + c one level down.
#pragma once
#include <cstdint>
#include <vector>

#include "parallel.h"

namespace samplenet {

constexpr int BLOCK = 16;  // points of a block, children of a node

// P holds the number of a point: int32_t, or int64_t for clouds of 2^31 points and more.
template <class T, class P>
struct Tree {
  std::vector<T> blocks;    // (blocks, 3, 16): x, y, z; the last block is padded with NaN
  std::vector<P> index;     // (blocks * 16): which point lies at a place; the padding counts on
  std::vector<std::vector<T>> boxes;  // boxes[level] (nodes, 6, 16): lowest x, y, z, highest x, y, z of each child

  // points (N, 3). Points with a coordinate that is not finite come last and lie in no box.
  Tree(const T* points, int64_t n, const Parallel& parallel);
};

// The numbers of the points in a coarser order of the same kind.
template <class T, class P>
std::vector<P> spatial_order(const T* points, int64_t n, const Parallel& parallel);

// points (N, 3) -> (ceil(N / 16), 3, 16), padded with NaN.
template <class T>
void to_blocks(const T* points, int64_t n, T* blocks);

}  // namespace samplenet
