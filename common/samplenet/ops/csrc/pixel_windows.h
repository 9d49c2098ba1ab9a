// Which pixels a point touches. Included by the kernels with vectors (see simd.h) and by the CUDA kernels.
#pragma once
#include <cmath>
#include <cstdint>

#include "both.h"
#include "projections.h"

namespace samplenet::SAMPLENET_ISA {

// The published constants; see ops/projections.py.
constexpr double OFFSET = 1, TINY = 1e-5, FAR_AWAY = 10, LEAK = 1e-8;

// Pixels of a row or a column.
struct Range {
  int64_t begin, end;
};

template <class T>
SAMPLENET_BOTH bool is_seen(const T* point) {
  return std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]) && point[2] > 0;
}

// The pixels whose centres are within `reach` of a coordinate, in exact arithmetic.
SAMPLENET_BOTH inline Range around(double at, double reach, int64_t size, const Canvas& canvas) {
  const double middle = at - canvas.first(), all = static_cast<double>(size);
  const double begin = std::fmin(std::fmax(std::ceil(middle - reach), 0.0), all);
  const double end = std::fmin(std::fmax(std::floor(middle + reach) + 1, begin), all);
  return {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
}

// The distance between a coordinate and the centre of pixel i, with its sign.
template <class T>
SAMPLENET_BOTH T offset(T at, int64_t i, const Canvas& canvas) {
  return at - (static_cast<T>(i) + static_cast<T>(canvas.first()));
}

// The pixels whose wells hold a coordinate, in the arithmetic of T.
template <class T>
SAMPLENET_BOTH Range within(T at, int64_t size, const Canvas& canvas, const Well& well) {
  const T radius = static_cast<T>(well.radius);
  Range range = around(at, well.radius + 1, size, canvas);
  while (range.begin < range.end && !(std::abs(offset(at, range.begin, canvas)) <= radius)) ++range.begin;
  while (range.begin < range.end && !(std::abs(offset(at, range.end - 1, canvas)) <= radius)) --range.end;
  return range;
}

// Whether the soft z-buffer draws a point (3) with C features.
template <class T>
SAMPLENET_BOTH bool is_drawn(const T* point, const T* features, int64_t C, const Canvas& canvas) {
  bool drawn = is_seen(point);
  for (int64_t c = 0; c < C; ++c) drawn = drawn && std::isfinite(features[c]);
  return drawn && !(canvas.as_released && !(point[2] + static_cast<T>(OFFSET) < static_cast<T>(FAR_AWAY)));
}

// What a point's weight is the exponential of.
template <class T>
SAMPLENET_BOTH T score_of(T depth, const Well& well) {
  return static_cast<T>(well.beta) / (depth + static_cast<T>(OFFSET) + static_cast<T>(TINY));
}

}  // namespace samplenet::SAMPLENET_ISA
