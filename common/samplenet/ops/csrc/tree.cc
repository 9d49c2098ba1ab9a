#include "tree.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "types.h"

namespace samplenet {
namespace {

template <class T, class P>
struct Point {
  T at[3];
  P index;
};

constexpr int64_t SAMPLE = 63;  // points looked at to choose an axis and a pivot

// Moves the points whose coordinate is < pivot (or <= pivot) to the front, without a branch on the outcome; their count.
template <bool equal_too, class T, class P>
int64_t partition(Point<T, P>* first, int64_t n, int axis, T pivot) {
  int64_t front = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Point<T, P> point = first[i];
    first[i] = first[front];
    first[front] = point;
    front += equal_too ? point.at[axis] <= pivot : point.at[axis] < pivot;
  }
  return front;
}

// As std::nth_element: no point of [0, middle) has a greater coordinate than one of [middle, n).
template <class T, class P>
void select(Point<T, P>* first, int64_t n, int64_t middle, int axis) {
  T sample[SAMPLE];
  for (int round = 0; n > BLOCK && round < 50; ++round) {
    const int64_t size = std::min(n, SAMPLE), step = n / size, rank = middle * size / n;
    for (int64_t i = 0; i < size; ++i) sample[i] = first[i * step].at[axis];
    std::nth_element(sample, sample + rank, sample + size);
    const T pivot = sample[rank];
    int64_t front = partition<false>(first, n, axis, pivot);
    if (front == 0) {  // the pivot is the smallest: so are the equal ones, and that is progress
      front = partition<true>(first, n, axis, pivot);
      if (middle <= front) return;
    }
    if (middle < front) {
      n = front;
    } else {
      first += front;
      n -= front;
      middle -= front;
    }
    if (middle == 0) return;
  }
  std::nth_element(first, first + middle, first + n,
                   [axis](const Point<T, P>& a, const Point<T, P>& b) { return a.at[axis] < b.at[axis]; });
}

// Splits [first, first + n) at a median of its longest side, at a multiple of `capacity` (16, 16^2, ...) points.
template <class T, class P>
int64_t split(Point<T, P>* first, int64_t n, int64_t capacity) {
  T low[3], high[3];
  for (int c = 0; c < 3; ++c) low[c] = high[c] = first->at[c];
  for (int64_t i = 0; i < n; i += std::max<int64_t>(1, n / SAMPLE))
    for (int c = 0; c < 3; ++c) {
      low[c] = std::min(low[c], first[i].at[c]);
      high[c] = std::max(high[c], first[i].at[c]);
    }
  int axis = 0;
  for (int c = 1; c < 3; ++c)
    if (high[c] - low[c] > high[axis] - low[axis]) axis = c;
  const int64_t children = (n + capacity - 1) / capacity;
  const int64_t middle = children / 2 * capacity;
  select(first, n, middle, axis);
  return middle;
}

int64_t child_capacity(int64_t n) {
  int64_t capacity = BLOCK;
  while (capacity * BLOCK < n) capacity *= BLOCK;
  return capacity;
}

template <class T, class P>
void arrange(Point<T, P>* first, int64_t n, int64_t leaf) {
  if (n <= leaf) return;
  const int64_t middle = split(first, n, child_capacity(n));
  arrange(first, middle, leaf);
  arrange(first + middle, n - middle, leaf);
}

template <class T, class P>
std::vector<Point<T, P>> arranged(const T* points, int64_t n, int64_t leaf, const Parallel& parallel, int64_t* finite) {
  std::vector<Point<T, P>> all(n);
  int64_t front = 0, back = n;
  for (int64_t i = 0; i < n; ++i) {
    const T* p = points + 3 * i;
    const bool is_finite = std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]);
    all[is_finite ? front++ : --back] = {{p[0], p[1], p[2]}, static_cast<P>(i)};
  }
  *finite = front;
  struct Piece {
    int64_t begin, size;
  };
  std::vector<Piece> pieces{{0, front}};
  while (static_cast<int>(pieces.size()) < 4 * parallel.threads && pieces[0].size > 4096) {
    std::vector<Piece> halves;
    std::vector<int64_t> middle(pieces.size());
    parallel.run(pieces.size(), pieces[0].size * 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        middle[i] = pieces[i].size <= BLOCK ? pieces[i].size
                                            : split(&all[pieces[i].begin], pieces[i].size, child_capacity(pieces[i].size));
    });
    for (size_t i = 0; i < pieces.size(); ++i) {
      halves.push_back({pieces[i].begin, middle[i]});
      halves.push_back({pieces[i].begin + middle[i], pieces[i].size - middle[i]});
    }
    pieces = halves;
  }
  parallel.run(pieces.size(), pieces[0].size * 100, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) arrange(all.data() + pieces[i].begin, pieces[i].size, leaf);
  });
  return all;
}

}  // namespace

template <class T, class P>
std::vector<P> spatial_order(const T* points, int64_t n, const Parallel& parallel) {
  int64_t finite;
  const auto all = arranged<T, P>(points, n, 8 * BLOCK, parallel, &finite);
  std::vector<P> order(n);
  for (int64_t i = 0; i < n; ++i) order[i] = all[i].index;
  return order;
}

template <class T, class P>
Tree<T, P>::Tree(const T* points, int64_t n, const Parallel& parallel) {
  int64_t finite;
  const auto all = arranged<T, P>(points, n, BLOCK, parallel, &finite);
  const int64_t count = (n + BLOCK - 1) / BLOCK;
  const T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  blocks.assign(count * 3 * BLOCK, nan);
  index.resize(count * BLOCK);
  for (int64_t i = 0; i < count * BLOCK; ++i) {
    index[i] = i < n ? all[i].index : static_cast<P>(i);
    for (int c = 0; c < 3 && i < n; ++c) blocks[(i / BLOCK * 3 + c) * BLOCK + i % BLOCK] = all[i].at[c];
  }
  for (int64_t children = count; boxes.empty() || children > 1; children = (children + BLOCK - 1) / BLOCK) {
    const int64_t nodes = (children + BLOCK - 1) / BLOCK;
    std::vector<T> level(nodes * 6 * BLOCK);
    for (int64_t child = 0; child < nodes * BLOCK; ++child)
      for (int c = 0; c < 3; ++c) {
        T low = inf, high = -inf;
        for (int64_t i = child * BLOCK; i < (child + 1) * BLOCK && child < children; ++i)
          if (boxes.empty()) {
            if (i < finite) {
              low = std::min(low, all[i].at[c]);
              high = std::max(high, all[i].at[c]);
            }
          } else {
            const T* box = &boxes.back()[i / BLOCK * 6 * BLOCK];
            low = std::min(low, box[c * BLOCK + i % BLOCK]);
            high = std::max(high, box[(3 + c) * BLOCK + i % BLOCK]);
          }
        T* box = &level[child / BLOCK * 6 * BLOCK];
        box[c * BLOCK + child % BLOCK] = low;
        box[(3 + c) * BLOCK + child % BLOCK] = high;
      }
    boxes.push_back(std::move(level));
  }
}

template <class T>
void to_blocks(const T* points, int64_t n, T* blocks) {
  const int64_t places = (n + BLOCK - 1) / BLOCK * BLOCK;
  for (int64_t i = 0; i < places; ++i)
    for (int c = 0; c < 3; ++c)
      blocks[(i / BLOCK * 3 + c) * BLOCK + i % BLOCK] =
          i < n ? points[3 * i + c] : std::numeric_limits<T>::quiet_NaN();
}

#define INSTANTIATE(T, P)  \
  template struct Tree<T, P>; \
  template std::vector<P> spatial_order<T, P>(const T*, int64_t, const Parallel&);
FOR_EACH_TYPE(INSTANTIATE)
template void to_blocks<float>(const float*, int64_t, float*);
template void to_blocks<double>(const double*, int64_t, double*);

}  // namespace samplenet
