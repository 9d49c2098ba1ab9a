// Compiled once for each instruction set; see simd.h.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "exponential.h"
#include "pixel_windows.h"

namespace samplenet::SAMPLENET_ISA {

// A Gaussian around a coordinate, at the centres of those pixels of a row or column where T can hold it.
template <class T>
class Bell {
  const Canvas& canvas_;
  const T scale_;
  const double reach_;
  std::vector<T> offsets_;

 public:
  std::vector<T> values;      // at pixel `begin` + i
  int64_t begin = 0, end = 0;

  Bell(int64_t size, const Canvas& canvas, double variance)
      : canvas_(canvas), scale_(static_cast<T>(-0.5 / variance)),
        reach_(std::sqrt(-2.0 * LOWEST_POWER<T> * variance)), offsets_(size), values(size) {}

  void put(T at) {
    const Range range = around(at, reach_, static_cast<int64_t>(values.size()), canvas_);
    begin = range.begin;
    end = range.end;
    for (int64_t i = 0; i < count(); ++i) offsets_[i] = offset(at, begin + i, canvas_);
    for (int64_t i = 0; i < count(); ++i) values[i] = exponential(offsets_[i] * offsets_[i] * scale_);
  }

  int64_t count() const { return end - begin; }

  // The derivative of value i by the coordinate.
  T slope(int64_t i) const { return values[i] * offsets_[i] * (2 * scale_); }
};

// Nanoseconds that a cloud takes, roughly.
inline int64_t cost(int64_t N, double variance) { return N * static_cast<int64_t>(100 + std::min(1e6, 200 * variance)); }

template <class T>
void project_sums(const Points<T>& points, const Canvas& canvas, double variance, T* sums, const Parallel& parallel) {
  const int64_t N = points.N, H = canvas.height, W = canvas.width;
  parallel.run(points.B, cost(N, variance), [&](int64_t begin, int64_t end) {
    Bell<T> rows(H, canvas, variance), columns(W, canvas, variance);
    for (int64_t b = begin; b < end; ++b) {
      T* image = sums + b * H * W;
      std::fill_n(image, H * W, T(0));
      for (int64_t n = 0; n < N; ++n) {
        const T* point = points.points + (b * N + n) * 3;
        if (!is_seen(point)) continue;
        rows.put(point[0]);
        columns.put(point[1]);
        const T* factors = columns.values.data();
        const int64_t count = columns.count();
        for (int64_t i = 0; i < rows.count(); ++i) {
          T* pixels = image + (rows.begin + i) * W + columns.begin;
          const T factor = rows.values[i];
          for (int64_t j = 0; j < count; ++j) pixels[j] += factor * factors[j];
        }
      }
    }
  });
}

template <class T>
void project_sums_backward(const T* grad, const Points<T>& points, const Canvas& canvas, double variance, T* grad_points,
                           const Parallel& parallel) {
  const int64_t N = points.N, H = canvas.height, W = canvas.width;
  parallel.run(points.B, 2 * cost(N, variance), [&](int64_t begin, int64_t end) {
    Bell<T> rows(H, canvas, variance), columns(W, canvas, variance);
    std::vector<T> along(W), across(W);  // sums over the rows, with their values and slopes
    for (int64_t b = begin; b < end; ++b) {
      for (int64_t n = 0; n < N; ++n) {
        const T* point = points.points + (b * N + n) * 3;
        T* out = grad_points + (b * N + n) * 3;
        std::fill_n(out, 3, T(0));
        if (!is_seen(point)) continue;
        rows.put(point[0]);
        columns.put(point[1]);
        const int64_t count = columns.count();
        T *with_values = along.data(), *with_slopes = across.data();
        std::fill_n(with_values, count, T(0));
        std::fill_n(with_slopes, count, T(0));
        for (int64_t i = 0; i < rows.count(); ++i) {
          const T* pixels = grad + (b * H + rows.begin + i) * W + columns.begin;
          const T value = rows.values[i], slope = rows.slope(i);
          for (int64_t j = 0; j < count; ++j) {
            with_values[j] += value * pixels[j];
            with_slopes[j] += slope * pixels[j];
          }
        }
        for (int64_t j = 0; j < count; ++j) {
          out[0] += with_slopes[j] * columns.values[j];
          out[1] += with_values[j] * columns.slope(j);
        }
      }
    }
  });
}

#define INSTANTIATE(T)                                                                                                 \
  template void project_sums<T>(const Points<T>&, const Canvas&, double, T*, const Parallel&);                         \
  template void project_sums_backward<T>(const T*, const Points<T>&, const Canvas&, double, T*, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet::SAMPLENET_ISA
