// Where a point lies in a grid: its share in each of the eight voxels around it. Included by the kernels with vectors (see
// simd.h) and by the CUDA kernels.
#pragma once
#include <cmath>
#include <cstdint>

#include "both.h"
#include "render_voxels.h"

namespace samplenet::SAMPLENET_ISA {

// The two voxels of an axis between which a coordinate lies, its share in each, and how the shares change with it. A
// voxel outside the grid is replaced by its neighbour, with no share.
template <class T>
struct Between {
  int64_t at[2];
  T share[2], slope[2];

  SAMPLENET_BOTH Between(T coordinate, int64_t size, bool as_released) {
    const T factor = static_cast<T>(as_released ? size - 1 : size);
    const T place = as_released ? (coordinate + T(0.5)) * factor : (coordinate + T(0.5)) * factor - T(0.5);
    const T low = std::floor(place), over = place - low;
    const int64_t first = static_cast<int64_t>(low);
    const bool inside[2] = {first >= 0, first + 1 < size};
    at[0] = inside[0] ? first : 0;
    at[1] = inside[1] ? first + 1 : size - 1;
    share[0] = inside[0] ? 1 - over : T(0);
    share[1] = inside[1] ? over : T(0);
    slope[0] = inside[0] ? -factor : T(0);
    slope[1] = inside[1] ? factor : T(0);
  }
};

// A point (3) with C colours adds to the grid if it is in the box and all are finite.
template <class T>
SAMPLENET_BOTH bool is_usable(const T* point, const T* colours, int64_t C) {
  for (int i = 0; i < 3; ++i) {
    if (!(std::abs(point[i]) <= T(0.5))) return false;
  }
  for (int64_t c = 0; c < C; ++c) {
    if (!std::isfinite(colours[c])) return false;
  }
  return true;
}

// The eight voxels around a point (3): depth, up, right.
template <class T>
struct Corners {
  const Between<T> z, y, x;

  SAMPLENET_BOTH Corners(const T* point, const VoxelOptions& options)
      : z(point[0], options.size_z, options.as_released), y(point[1], options.size, options.as_released),
        x(point[2], options.size, options.as_released) {}

  // The sum of value(z, y, x) times the shares.
  template <class Value>
  SAMPLENET_BOTH T sum(const Value& value) const {
    T all = 0;
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) {
        const T left = value(z.at[i], y.at[j], x.at[0]), right = value(z.at[i], y.at[j], x.at[1]);
        all += z.share[i] * y.share[j] * (left * x.share[0] + right * x.share[1]);
      }
    }
    return all;
  }

  // grad_point (3) = the sum of value(z, y, x) times the derivatives of the shares by the point's coordinates.
  template <class Value>
  SAMPLENET_BOTH void differentiate(const Value& value, T* grad_point) const {
    T sum[3] = {};
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 2; ++j) {
        const T left = value(z.at[i], y.at[j], x.at[0]), right = value(z.at[i], y.at[j], x.at[1]);
        const T both = left * x.share[0] + right * x.share[1];
        sum[0] += z.slope[i] * y.share[j] * both;
        sum[1] += z.share[i] * y.slope[j] * both;
        sum[2] += z.share[i] * y.share[j] * (left * x.slope[0] + right * x.slope[1]);
      }
    }
    for (int i = 0; i < 3; ++i) grad_point[i] = sum[i];
  }
};

}  // namespace samplenet::SAMPLENET_ISA
