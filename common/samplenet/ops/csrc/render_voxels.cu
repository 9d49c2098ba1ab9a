// The renderer of clouds, see render_voxels.h: some clouds at a time go through grids in global memory (voxel_part.cuh).
//
// The points' shares are added up as whole numbers, by atomics: the same sum in any order. All else is one thread's for each
// cell, pixel or point, and what blocks add up is joined in their order: the same input gives the same bits.
#define SAMPLENET_ISA cuda
#include "render_voxels.h"

#include "cuda_common.cuh"
#include "voxel_blur.cuh"
#include "voxel_part.cuh"
#include "voxel_pixels.cuh"
#include "voxel_points.cuh"
#include "voxel_prepare.cuh"

namespace samplenet {
namespace {

// Adds up what the blocks have found of a cloud's gradients of scale and sigma; a block for each cloud.
template <class T>
__global__ void __launch_bounds__(kThreads) finish_kernel(Part<T> part, bool with_sigma, CloudGradients<T> out) {
  const CloudState& state = part.states[blockIdx.x];
  const double* partial = part.partial + blockIdx.x * part.partials;
  double of_scale = 0, of_sigma = 0;
  for (int64_t i = threadIdx.x; i < part.ray_blocks; i += kThreads) of_scale += partial[i];
  for (int64_t i = part.ray_blocks + threadIdx.x; with_sigma && i < part.partials; i += kThreads) of_sigma += partial[i];
  of_scale = block_sum(of_scale);
  of_sigma = block_sum(of_sigma);
  const T all = state.is_asked && !state.is_number ? static_cast<T>(NAN) : T(0);
  if (threadIdx.x > 0) return;
  out.scale[blockIdx.x] = state.is_drawn() ? static_cast<T>(of_scale) : all;
  if (out.sigma) out.sigma[blockIdx.x] = !with_sigma ? T(0) : state.is_drawn() ? static_cast<T>(of_sigma) : all;
}

// Fills the grids of a part; `grad` is of its images, or null.
template <class T>
int fill(const Part<T>& part, const Images<const T>& grad, void* stream) {
  const int64_t B = part.clouds.B, sums = B * (1 + part.C), blocks = B * part.channels * part.cell_blocks;
  const T* none = nullptr;
  int error = cudaMemsetAsync(part.sums, 0, sums * part.cells * sizeof(long long), static_cast<cudaStream_t>(stream));
  if (!error) error = launch(prepare_kernel<T>, B, kThreads, stream, part, grad);
  if (!error) error = launch(splat_kernel<T>, B * ceil_div(part.clouds.N, kThreads), kThreads, stream, part);
  if (!error) error = launch(settle_kernel<T>, sums * part.cell_blocks, kThreads, stream, part);
  if (!error) error = launch(smooth_kernel<T>, blocks, kThreads, stream, part, kX, none, part.along_x);
  if (!error) error = launch(smooth_kernel<T>, blocks, kThreads, stream, part, kY, part.along_x, part.along_y);
  if (!error) error = launch(smooth_kernel<T>, blocks, kThreads, stream, part, kRay, part.along_y, part.smoothed);
  return error;
}

// Calls draw(part, first) for parts of the clouds, of which the first is cloud `first`.
template <class T, class Draw>
int for_parts(const Clouds<T>& clouds, const VoxelOptions& options, bool four, void* workspace, const Draw& draw) {
  const int64_t step = at_once(clouds.B, clouds.C, options), N = clouds.N;
  int error = cudaSuccess;
  for (int64_t first = 0; !error && first < clouds.B; first += step) {
    const int64_t B = clouds.B - first < step ? clouds.B - first : step;
    const Clouds<T> some = {clouds.points + first * N * 3, clouds.sigma + first, clouds.scale + first,
                            clouds.colours + first * N * clouds.C, B, N, clouds.C};
    Pieces pieces(workspace);
    error = draw(part_of(some, options, four, pieces), first);
  }
  return error;
}

template <class T>
size_t bytes_of(const Clouds<T>& clouds, const VoxelOptions& options, bool four) {
  Clouds<T> some = clouds;
  some.B = at_once(clouds.B, clouds.C, options);
  Pieces pieces(nullptr);
  part_of(some, options, four, pieces);
  return pieces.used();
}

// The images from cloud `first` on.
template <class T>
Images<T> images_from(const Images<T>& images, const VoxelOptions& options, int64_t C, int64_t first) {
  const int64_t pixels = options.size * options.size * first;
  const auto from = [&](T* image, int64_t values) { return image ? image + pixels * values : nullptr; };
  return {from(images.silhouette, 1), from(images.depth, 1), from(images.colour, C),
          from(images.probabilities, options.size_z + 1)};
}

}  // namespace

template <class T>
size_t render_voxels_cuda_workspace(const Clouds<T>& clouds, const VoxelOptions& options) {
  return bytes_of(clouds, options, false);
}

template <class T>
int render_voxels_cuda(const Clouds<T>& clouds, const VoxelOptions& options, const Images<T>& images, void* workspace,
                       void* stream) {
  return for_parts(clouds, options, false, workspace, [&](const Part<T>& part, int64_t first) {
    const int error = fill(part, Images<const T>(), stream);
    if (error) return error;
    return launch(follow_kernel<T>, part.clouds.B * part.ray_blocks, kThreads, stream, part,
                  images_from(images, options, clouds.C, first));
  });
}

template <class T>
size_t render_voxels_backward_cuda_workspace(const Clouds<T>& clouds, const VoxelOptions& options, bool with_sigma) {
  return bytes_of(clouds, options, with_sigma);
}

template <class T>
int render_voxels_backward_cuda(const Images<const T>& grad, const Clouds<T>& clouds, const VoxelOptions& options,
                                bool with_sigma, const CloudGradients<T>& out, void* workspace, void* stream) {
  return for_parts(clouds, options, with_sigma, workspace, [&](const Part<T>& part, int64_t first) {
    const int64_t B = part.clouds.B, N = clouds.N, blocks = B * (1 + part.C) * part.cell_blocks;
    const Images<const T> images = images_from(grad, options, clouds.C, first);
    const CloudGradients<T> some = {out.points + first * N * 3, out.sigma ? out.sigma + first : nullptr, out.scale + first,
                                    out.colours + first * N * clouds.C};
    const auto back = [&](Axis axis, const T* from, const T* values, T* to) {
      return launch(smooth_back_kernel<T>, blocks, kThreads, stream, part, axis, with_sigma, from, values, to);
    };
    int error = fill(part, images, stream);
    if (!error) error = launch(follow_back_kernel<T>, B * part.ray_blocks, kThreads, stream, part, images);
    if (!error) error = back(kRay, part.smoothed, part.along_y, part.spare);
    if (!error) error = back(kY, part.spare, part.along_x, part.smoothed);
    if (!error) error = back(kX, part.smoothed, nullptr, part.spare);
    if (!error) error = launch(gather_kernel<T>, B * ceil_div(N, kThreads), kThreads, stream, part, some);
    if (!error) error = launch(finish_kernel<T>, B, kThreads, stream, part, with_sigma, some);
    return error;
  });
}

#define INSTANTIATE(T)                                                                                              \
  template size_t render_voxels_cuda_workspace<T>(const Clouds<T>&, const VoxelOptions&);                           \
  template int render_voxels_cuda<T>(const Clouds<T>&, const VoxelOptions&, const Images<T>&, void*, void*);        \
  template size_t render_voxels_backward_cuda_workspace<T>(const Clouds<T>&, const VoxelOptions&, bool);            \
  template int render_voxels_backward_cuda<T>(const Images<const T>&, const Clouds<T>&, const VoxelOptions&, bool,  \
                                              const CloudGradients<T>&, void*, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
