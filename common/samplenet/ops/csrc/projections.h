// Points drawn on images: the contract of the CPU and the CUDA kernels; reference_projections.py defines what they compute.
//
// points (B, N, 3): row u, column v in pixels, depth; features (B, N, C); images (B, H, W, C); row-major and
// contiguous, T is float or double. A point with depth <= 0 or a number that is not finite is not drawn, and gets no
// gradient. On the CPU a cloud is one thread's, point after point. Sums are taken in a fixed order on both: the same
// input gives the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "both.h"
#include "parallel.h"

namespace samplenet {

// An image of H x W pixels.
struct Canvas {
  int64_t height, width;
  bool as_released;

  // The coordinate of the centre of pixel 0.
  SAMPLENET_BOTH double first() const { return as_released ? 0 : 0.5; }
};

template <class T>
struct Points {
  const T* points;
  int64_t B, N;
};

// The mask before tanh: sums (B, H, W) of exp(-((u - i)^2 + (v - j)^2) / (2 variance)).
template <class T>
void project_sums(const Points<T>& points, const Canvas& canvas, double variance, T* sums, const Parallel& parallel);

// Gradient of sum(grad * sums), grad (B, H, W); fills grad_points (B, N, 3).
template <class T>
void project_sums_backward(const T* grad, const Points<T>& points, const Canvas& canvas, double variance, T* grad_points,
                           const Parallel& parallel);

template <class T>
struct Features {
  const T* features;
  int64_t C;
};

struct Well {
  double radius, beta;
};

// Fills images (B, H, W, C) and coverage (B, H, W).
template <class T>
void project_features(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                      T* images, T* coverage, const Parallel& parallel);

// Gradient of sum(grad * images), grad (B, H, W, C); fills grad_points (B, N, 3), 0 but in the depths, and grad_features
// (B, N, C). `images` are those that project_features has made.
template <class T>
void project_features_backward(const T* grad, const Points<T>& points, const Features<T>& features, const T* images,
                               const Canvas& canvas, const Well& well, T* grad_points, T* grad_features,
                               const Parallel& parallel);

// The same on device pointers, asynchronous on `stream` (a cudaStream_t), never waiting for the host. `workspace`: device
// memory of at least the bytes asked for. Returns a cudaError_t, 0 for success.
template <class T>
int project_sums_cuda(const Points<T>& points, const Canvas& canvas, double variance, T* sums, void* stream);
template <class T>
int project_sums_backward_cuda(const T* grad, const Points<T>& points, const Canvas& canvas, double variance,
                               T* grad_points, void* stream);
template <class T>
int project_features_cuda(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                          T* images, T* coverage, void* stream);
template <class T>
size_t project_features_backward_cuda_workspace(const Points<T>& points, const Canvas& canvas);
template <class T>
int project_features_backward_cuda(const T* grad, const Points<T>& points, const Features<T>& features, const T* images,
                                   const Canvas& canvas, const Well& well, T* grad_points, T* grad_features,
                                   void* workspace, void* stream);

}  // namespace samplenet
