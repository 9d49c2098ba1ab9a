// The grid of one cloud: points in, smoothed slabs out, and the way back. Included by the kernels with vectors; see simd.h.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "render_voxels.h"
#include "voxel_rays.h"
#include "voxel_smoothing.h"
#include "voxel_splat.h"

namespace samplenet::SAMPLENET_ISA {

// Few rows of voxels hold a point; the others are passed over until smoothing reaches them. Rows are padded to whole
// vectors. Channel 0 holds the occupancies, the next C the colours, and one more, if colours are divided, the occupancies
// that are not clipped.
template <class T>
class Grid {
  const VoxelOptions& options_;
  const int64_t D_, Z_, C_, colours_, width_, plane_, cells_, channels_, margin_;
  std::vector<T> raw_;       // (1 + C, Z, D, width): sums of the points' shares and colours; then their gradients
  std::vector<T> smoothed_;  // (channels, Z, D, width), along x and y; then gradients
  std::vector<T> rows_, sums_, slopes_, padded_;
  FilledRows filled_;
  Rows every_;

  T* row(std::vector<T>& grid, int64_t c, int64_t z, int64_t y) { return &grid[c * cells_ + z * plane_ + y * width_]; }
  bool is_clipped(int64_t c) const { return c == 0 || (c <= C_ && !options_.clip_after); }

  // The points' sums in the held rows of a plane, smoothed along x by some taps, into rows_.
  void spread(int64_t c, int64_t z, const std::vector<T>& taps) {
    for (const int64_t y : filled_.held[z]) {
      T* padded = &padded_[margin_];
      std::copy_n(row(raw_, c > C_ ? 0 : c, z, y), D_, padded);
      for (int64_t x = 0; is_clipped(c) && x < D_; ++x) padded[x] = std::clamp(padded[x], T(0), T(1));
      smooth_row(padded - taps.size() / 2, width_, taps, &rows_[y * width_]);
    }
  }

 public:
  double grad_sigma = 0;

  Grid(const VoxelOptions& options, int64_t colours)
      : options_(options), D_(options.size), Z_(options.size_z), C_(options.max_projection ? 0 : colours),
        colours_(colours), width_((D_ + Simd<T>::W - 1) / Simd<T>::W * Simd<T>::W), plane_((D_ + 1) * width_),
        cells_(Z_ * plane_), channels_(1 + C_ + (C_ > 0 && options.divide_colours)), margin_(options.kernel_size / 2),
        raw_((1 + C_) * cells_), smoothed_(channels_ * cells_), rows_(plane_), sums_(plane_),
        slopes_(std::max(D_, Z_) * width_), padded_(margin_ + width_ + margin_), filled_(Z_, D_), every_(Z_) {
    std::iota(every_.begin(), every_.end(), 0);
  }

  int64_t width() const { return width_; }

  void add(const T* points, const T* colours, int64_t N, const Gaussian<T>& along_plane) {
    std::fill(raw_.begin(), raw_.end(), T(0));
    std::vector<char> held(Z_ * D_);
    for (int64_t n = 0; n < N; ++n, points += 3, colours += colours_) {
      if (!is_usable(points, colours, colours_)) continue;
      const Corners<T> at(points, options_);
      for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 2; ++j) {
          const T share = at.z.share[i] * at.y.share[j], left = share * at.x.share[0], right = share * at.x.share[1];
          held[at.z.at[i] * D_ + at.y.at[j]] = 1;
          T* sums = row(raw_, 0, at.z.at[i], at.y.at[j]);
          sums[at.x.at[0]] += left;
          sums[at.x.at[1]] += right;
          for (int64_t c = 0; c < C_; ++c) {
            sums += cells_;
            sums[at.x.at[0]] += left * colours[c];
            sums[at.x.at[1]] += right * colours[c];
          }
        }
      }
    }
    filled_.note(held, along_plane.reach);
    for (int64_t z = 0; z < Z_; ++z) {
      for (int64_t c = 0; c < channels_; ++c) {
        spread(c, z, along_plane.weights);
        smooth_rows(rows_.data(), width_, filled_.held[z], row(smoothed_, c, z, 0), width_, filled_.filled[z], width_,
                    along_plane.weights);
      }
    }
  }

  void cut(int64_t y, const Gaussian<T>& along_ray, Rays<T>& rays) {
    for (int64_t c = 0; c < channels_; ++c) {
      const T* values = row(smoothed_, c, 0, y);
      smooth_rows(values, plane_, filled_.planes[y], rays.channel(c), width_, every_, width_, along_ray.weights);
    }
  }

  // The slab's gradients take the place of its values.
  void cut_back(int64_t y, const Gaussian<T>& along_ray, Rays<T>& rays, bool with_sigma) {
    for (int64_t c = 0; c <= C_; ++c) {
      T *values = row(smoothed_, c, 0, y), *grad = rays.channel(c);
      if (with_sigma) {
        smooth_rows(values, plane_, filled_.planes[y], slopes_.data(), width_, every_, width_, along_ray.slopes);
        grad_sigma += dot_rows(grad, slopes_.data(), every_, width_);
      }
      smooth_rows(grad, width_, every_, values, plane_, filled_.planes[y], width_, along_ray.weights);
    }
  }

  void add_back(const T* points, const T* colours, int64_t N, const Gaussian<T>& along_plane, bool with_sigma,
                T* grad_points, T* grad_colours) {
    for (int64_t i = 0; i < (1 + C_) * Z_; ++i) plane_back(i % (1 + C_), i / (1 + C_), along_plane, with_sigma);
    for (int64_t n = 0; n < N; ++n, points += 3, colours += colours_, grad_points += 3, grad_colours += colours_) {
      std::fill_n(grad_points, 3, T(0));
      std::fill_n(grad_colours, colours_, T(0));
      if (!is_usable(points, colours, colours_)) continue;
      const Corners<T> at(points, options_);
      const auto grad_of = [&](int64_t z, int64_t y, int64_t x) {
        const T* grad = row(raw_, 0, z, y) + x;
        T sum = *grad;
        for (int64_t c = 0; c < C_ && options_.colours_move_points; ++c) sum += grad[(c + 1) * cells_] * colours[c];
        return sum;
      };
      at.differentiate(grad_of, grad_points);
      for (int64_t c = 0; c < C_; ++c) {
        grad_colours[c] = at.sum([&](int64_t z, int64_t y, int64_t x) { return row(raw_, c + 1, z, y)[x]; });
      }
    }
  }

 private:
  void plane_back(int64_t c, int64_t z, const Gaussian<T>& along_plane, bool with_sigma) {
    T* grad = row(smoothed_, c, z, 0);
    smooth_rows(grad, width_, filled_.filled[z], sums_.data(), width_, filled_.held[z], width_, along_plane.weights);
    if (with_sigma) {
      spread(c, z, along_plane.weights);
      smooth_rows(rows_.data(), width_, filled_.held[z], slopes_.data(), width_, filled_.filled[z], width_,
                  along_plane.slopes);
      grad_sigma += dot_rows(grad, slopes_.data(), filled_.filled[z], width_);
      spread(c, z, along_plane.slopes);
      grad_sigma += dot_rows(sums_.data(), rows_.data(), filled_.held[z], width_);
    }
    for (const int64_t y : filled_.held[z]) {
      T *raw = row(raw_, c, z, y), *sum = &rows_[y * width_];
      std::copy_n(&sums_[y * width_], D_, &padded_[margin_]);
      smooth_row(&padded_[margin_ - along_plane.reach], width_, along_plane.weights, sum);
      for (int64_t x = 0; x < D_; ++x) raw[x] = is_clipped(c) && !(raw[x] >= 0 && raw[x] <= 1) ? T(0) : sum[x];
    }
  }
};

}  // namespace samplenet::SAMPLENET_ISA
