// The differentiable renderer of clouds: the contract of the CPU and the CUDA kernels; reference_rendering.py defines what
// they compute.
//
// points (B, N, 3), sigma (B,), scale (B,), colours (B, N, C) -> silhouette and depth (B, D, D), colour (B, D, D, C),
// probabilities (B, Z + 1, D, D) or null; row-major and contiguous, T is float or double, D is `size`, Z is `size_z`. With
// max_projection there is a silhouette alone. Taps of the Gaussian that the middle one swallows, in T, are left out.
#pragma once
#include <cstddef>
#include <cstdint>

#include "parallel.h"

namespace samplenet {

struct VoxelOptions {
  static constexpr int64_t LARGEST = 1024;  // of the three sizes

  int64_t size, size_z, kernel_size;
  double camera_distance, max_depth;
  bool max_projection, clip_after, divide_colours, colours_move_points, as_released;

  double stretch() const { return static_cast<double>(size_z) / size; }
  int64_t kernel_size_z() const { return kernel_size * size_z / size | 1; }
};

template <class T>
struct Clouds {
  const T *points, *sigma, *scale, *colours;
  int64_t B, N, C;
};

// Images, or their gradients; `depth`, `colour` and `probabilities` may be null.
template <class T>
struct Images {
  T *silhouette, *depth, *colour, *probabilities;
};

// Gradients of the members of Clouds; `sigma` may be null.
template <class T>
struct CloudGradients {
  T *points, *sigma, *scale, *colours;
};

template <class T>
void render_voxels(const Clouds<T>& clouds, const VoxelOptions& options, const Images<T>& images, const Parallel& parallel);

// Gradients of sum(grad * image) over all images. Sums are taken in a fixed order: the same input gives the same bits. A
// cloud whose images all have a gradient of 0 is passed over.
template <class T>
void render_voxels_backward(const Images<const T>& grad, const Clouds<T>& clouds, const VoxelOptions& options,
                            const CloudGradients<T>& out, const Parallel& parallel);

// The same on device pointers, asynchronous on `stream` (a cudaStream_t), never waiting for the host. `workspace`: device
// memory of at least the bytes asked for. Without `with_sigma` the gradient of sigma is 0. Returns a cudaError_t, 0 for
// success.
template <class T>
size_t render_voxels_cuda_workspace(const Clouds<T>& clouds, const VoxelOptions& options);
template <class T>
int render_voxels_cuda(const Clouds<T>& clouds, const VoxelOptions& options, const Images<T>& images, void* workspace,
                       void* stream);
template <class T>
size_t render_voxels_backward_cuda_workspace(const Clouds<T>& clouds, const VoxelOptions& options, bool with_sigma);
template <class T>
int render_voxels_backward_cuda(const Images<const T>& grad, const Clouds<T>& clouds, const VoxelOptions& options,
                                bool with_sigma, const CloudGradients<T>& out, void* workspace, void* stream);

}  // namespace samplenet
