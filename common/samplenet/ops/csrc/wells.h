// A cloud's points over the pixels whose wells they are in.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "exponential.h"
#include "pixel_windows.h"

namespace samplenet::SAMPLENET_ISA {

// The points of a cloud over the pixels that they touch, and each pixel's weights.
template <class T>
class Wells {
  struct Spot {
    Range rows, columns;
    T score;
  };
  const Canvas& canvas_;
  const Well& well_;
  std::vector<Spot> spots_;
  std::vector<T> nearest_;  // the highest score in a pixel

  Spot find(const T* point, const T* features, int64_t C) const {
    if (!is_drawn(point, features, C, canvas_)) return {{0, 0}, {0, 0}, 0};
    return {within(point[0], canvas_.height, canvas_, well_), within(point[1], canvas_.width, canvas_, well_),
            score_of(point[2], well_)};
  }

 public:
  std::vector<T> parts;  // of each point in each pixel that it touches, in the order of `each`
  std::vector<T> total;  // of the parts, a pixel; 0 where there are none

  Wells(const Canvas& canvas, const Well& well, int64_t N)
      : canvas_(canvas), well_(well), spots_(N), nearest_(canvas.height * canvas.width), total(nearest_.size()) {}

  T score(int64_t n) const { return spots_[n].score; }

  // Calls visit(n, pixel) for each point and each pixel that it touches.
  template <class Visit>
  void each(const Visit& visit) const {
    for (int64_t n = 0; n < static_cast<int64_t>(spots_.size()); ++n) {
      const Spot& spot = spots_[n];
      for (int64_t i = spot.rows.begin; i < spot.rows.end; ++i) {
        for (int64_t j = spot.columns.begin; j < spot.columns.end; ++j) visit(n, i * canvas_.width + j);
      }
    }
  }

  // Weighs a cloud's points.
  void put(const T* points, const T* features, int64_t C) {
    const int64_t N = static_cast<int64_t>(spots_.size());
    for (int64_t n = 0; n < N; ++n) spots_[n] = find(points + n * 3, features + n * C, C);
    std::fill(nearest_.begin(), nearest_.end(), T(0));
    std::fill(total.begin(), total.end(), T(0));
    each([&](int64_t n, int64_t pixel) { nearest_[pixel] = std::max(nearest_[pixel], spots_[n].score); });
    parts.clear();
    each([&](int64_t n, int64_t pixel) { parts.push_back(spots_[n].score - nearest_[pixel]); });
    for (T& part : parts) part = exponential(part);
    int64_t k = 0;
    each([&](int64_t, int64_t pixel) { total[pixel] += parts[k++]; });
    if (canvas_.as_released) leak(N);
  }

 private:
  // Adds to the totals what the points outside have in them, as released.
  void leak(int64_t N) {
    std::vector<int64_t> inside(total.size());
    each([&](int64_t, int64_t pixel) { ++inside[pixel]; });
    const double other = well_.beta / (FAR_AWAY + TINY);
    for (size_t pixel = 0; pixel < total.size(); ++pixel) {
      if (!inside[pixel]) continue;
      const double others = (N - inside[pixel]) * std::exp(other - nearest_[pixel]);
      total[pixel] = static_cast<T>(total[pixel] + LEAK * (total[pixel] + others));
    }
  }
};

}  // namespace samplenet::SAMPLENET_ISA
