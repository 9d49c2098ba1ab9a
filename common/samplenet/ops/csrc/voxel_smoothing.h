// Smoothing of a grid by a Gaussian, an axis at a time, where most rows of the grid are empty. Included by the kernels
// with vectors; see simd.h.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "simd.h"

namespace samplenet::SAMPLENET_ISA {

// Indices of rows, in order.
using Rows = std::vector<int32_t>;

// The normalised taps of a Gaussian and their derivatives by sigma. Taps that the middle one swallows in T are left out,
// but the sum is that of all. sigma is in voxels of a row; the axis has `stretch` times as many.
template <class T>
struct Gaussian {
  int64_t reach = 0;  // taps on either side
  std::vector<T> weights, slopes;

  Gaussian(int64_t taps, double sigma, double stretch) {
    const double smallest = 1e-3, s = (sigma < smallest ? smallest : sigma) * stretch;
    double sum = 0, squares = 0;
    for (int64_t t = -(taps / 2); t <= taps / 2; ++t) {
      const double weight = std::exp(-0.5 * (t / s) * (t / s));
      sum += weight;
      squares += weight * t * t;
      if (weight > std::numeric_limits<T>::epsilon() / 2) reach = std::max(reach, t);
    }
    for (int64_t t = -reach; t <= reach; ++t) {
      const double weight = std::exp(-0.5 * (t / s) * (t / s)) / sum;
      weights.push_back(static_cast<T>(weight));
      slopes.push_back(sigma < smallest ? T(0) : static_cast<T>(weight * (t * t - squares / sum) / (s * s * s) * stretch));
    }
  }
};

// out = the sum of taps[rows[i] + shift] * in[rows[i]] over `count` rows, of M vectors.
template <int M, class T>
void sum_rows(const T* in, int64_t step, const int32_t* rows, int64_t count, const T* taps, int64_t shift, T* out) {
  using S = Simd<T>;
  typename S::V sum[M];
  for (int m = 0; m < M; ++m) sum[m] = S::set(T(0));
  for (int64_t i = 0; i < count; ++i) {
    const auto tap = S::set(taps[rows[i] + shift]);
    for (int m = 0; m < M; ++m) sum[m] = S::fma(tap, S::load(in + rows[i] * step + m * S::W), sum[m]);
  }
  for (int m = 0; m < M; ++m) S::store(out + m * S::W, sum[m]);
}

// Smooths across rows, which lie `step` apart and are `width` long, a multiple of W: fills the rows `to` of `out` from the
// rows `from` of `in`, all others being zero.
template <class T>
void smooth_rows(const T* in, int64_t in_step, const Rows& from, T* out, int64_t out_step, const Rows& to, int64_t width,
                 const std::vector<T>& taps) {
  constexpr int W = Simd<T>::W;
  const int64_t reach = taps.size() / 2, all = from.size();
  int64_t first = 0, last = 0;
  for (const int64_t row : to) {
    while (first < all && from[first] < row - reach) ++first;
    while (last < all && from[last] <= row + reach) ++last;
    const auto sum = [&](auto vectors, int64_t x) {
      sum_rows<vectors>(in + x, in_step, from.data() + first, last - first, taps.data(), reach - row,
                        out + row * out_step + x);
      return vectors * W;
    };
    int64_t x = 0;
    while (x + 4 * W <= width) x += sum(std::integral_constant<int, 4>(), x);
    while (x + 2 * W <= width) x += sum(std::integral_constant<int, 2>(), x);
    while (x < width) x += sum(std::integral_constant<int, 1>(), x);
  }
}

// Smooths along a row of `width`, a multiple of W, with zeros beyond both ends: `padded` holds `reach` of them before the
// row, and `reach` after it.
template <class T>
void smooth_row(const T* padded, int64_t width, const std::vector<T>& taps, T* out) {
  using S = Simd<T>;
  for (int64_t x = 0; x < width; x += S::W) {
    auto sum = S::set(T(0));
    for (size_t t = 0; t < taps.size(); ++t) sum = S::fma(S::set(taps[t]), S::load(padded + x + t), sum);
    S::store(out + x, sum);
  }
}

// The sum of a * b over some rows, which lie side by side.
template <class T>
double dot_rows(const T* a, const T* b, const Rows& rows, int64_t width) {
  double sum = 0;
  for (const int64_t row : rows) {
    for (int64_t x = row * width; x < (row + 1) * width; ++x) sum += static_cast<double>(a[x]) * b[x];
  }
  return sum;
}

// The rows of a grid (Z, D, ...) that are not zero.
struct FilledRows {
  std::vector<Rows> held, filled;  // of a plane: the rows that hold points, and those that smoothing fills
  std::vector<Rows> planes;        // of a slab: the planes in which its row is filled

  FilledRows(int64_t Z, int64_t D) : held(Z), filled(Z), planes(D) {}

  // holds (Z, D): which rows hold points. Smoothing reaches so many rows.
  void note(const std::vector<char>& holds, int64_t reach) {
    for (auto* lists : {&held, &filled, &planes}) {
      for (Rows& list : *lists) list.clear();
    }
    const int64_t Z = held.size(), D = planes.size();
    for (int64_t z = 0; z < Z; ++z) {
      int64_t next = 0;
      for (int64_t y = 0; y < D; ++y) {
        if (!holds[z * D + y]) continue;
        held[z].push_back(y);
        for (next = std::max(next, y - reach); next < std::min(y + reach + 1, D); ++next) {
          filled[z].push_back(next);
          planes[next].push_back(z);
        }
      }
    }
  }
};

}  // namespace samplenet::SAMPLENET_ISA
