// The CUDA kernels, run by cuda_emulator.h, with a C interface.
#include "ball_query.h"
#include "chamfer.h"
#include "cuda_emulator.h"
#include "farthest_points.h"
#include "knn.h"
#include "projections.h"
#include "render_voxels.h"
#include "types.h"

using namespace samplenet;

extern "C" void emulator_seed(uint32_t seed) { emulator::seed = seed; }

#define EXPORT(T, I)                                                                                                   \
  extern "C" size_t knn_workspace_##T##_##I(int64_t B, int64_t M, int64_t N, int64_t k) {                              \
    return knn_cuda_workspace<T, I>(B, M, N, k);                                                                       \
  }                                                                                                                    \
  extern "C" int knn_##T##_##I(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k,          \
                               T* dist2, I* idx, void* workspace) {                                                    \
    return knn_cuda(queries, points, B, M, N, k, dist2, idx, workspace, nullptr);                                      \
  }                                                                                                                    \
  extern "C" size_t knn_backward_workspace_##T##_##I(int64_t B, int64_t M, int64_t N, int64_t k) {                     \
    return knn_backward_cuda_workspace<T, I>(B, M, N, k);                                                              \
  }                                                                                                                    \
  extern "C" int knn_backward_##T##_##I(const T* grad, const T* queries, const T* points, const I* idx, int64_t B,     \
                                        int64_t M, int64_t N, int64_t k, T* grad_queries, T* grad_points,              \
                                        void* workspace) {                                                             \
    return knn_backward_cuda(grad, queries, points, idx, B, M, N, k, grad_queries, grad_points, workspace, nullptr);   \
  }                                                                                                                    \
  extern "C" size_t chamfer_workspace_##T##_##I(int64_t B, int64_t M, int64_t N) {                                     \
    return chamfer_cuda_workspace<T, I>(B, M, N);                                                                      \
  }                                                                                                                    \
  extern "C" int chamfer_##T##_##I(const T* a, const T* b, int64_t B, int64_t M, int64_t N, T* a2b, T* b2a, I* idx_ab, \
                                   I* idx_ba, void* workspace) {                                                       \
    return chamfer_cuda(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, workspace, nullptr);                                  \
  }                                                                                                                    \
  extern "C" size_t chamfer_backward_workspace_##T##_##I(int64_t B, int64_t M, int64_t N) {                            \
    return chamfer_backward_cuda_workspace<T, I>(B, M, N);                                                             \
  }                                                                                                                    \
  extern "C" int chamfer_backward_##T##_##I(const T* grad_a2b, const T* grad_b2a, const T* a, const T* b,              \
                                            const I* idx_ab, const I* idx_ba, int64_t B, int64_t M, int64_t N,         \
                                            T* grad_a, T* grad_b, void* workspace) {                                   \
    return chamfer_backward_cuda(grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, B, M, N, grad_a, grad_b, workspace,         \
                                 nullptr);                                                                             \
  }                                                                                                                    \
  extern "C" size_t ball_query_workspace_##T##_##I() { return 0; }                                                     \
  extern "C" int ball_query_##T##_##I(const T* queries, const T* points, int64_t B, int64_t M, int64_t N,              \
                                      double radius, int64_t k, I* idx, I* count, void*) {                             \
    return ball_query_cuda(queries, points, B, M, N, radius, k, idx, count, nullptr);                                  \
  }                                                                                                                    \
  extern "C" size_t farthest_points_workspace_##T##_##I(int64_t B, int64_t N, int64_t S, int64_t m) {                  \
    return farthest_points_cuda_workspace<T, I>(B, N, S, m);                                                           \
  }                                                                                                                    \
  extern "C" int farthest_points_##T##_##I(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S,          \
                                           int64_t m, I* idx, void* workspace) {                                       \
    return farthest_points_cuda(points, chosen, B, N, S, m, idx, workspace, nullptr);                                  \
  }
FOR_EACH_TYPE(EXPORT)

#define EXPORT_PROJECTIONS(T)                                                                                          \
  extern "C" size_t project_sums_workspace_##T() { return 0; }                                                         \
  extern "C" int project_sums_##T(const T* points, int64_t B, int64_t N, int64_t height, int64_t width,                \
                                  bool as_released, double variance, T* sums, void*) {                                 \
    return project_sums_cuda<T>({points, B, N}, {height, width, as_released}, variance, sums, nullptr);                \
  }                                                                                                                    \
  extern "C" size_t project_sums_backward_workspace_##T() { return 0; }                                                \
  extern "C" int project_sums_backward_##T(const T* grad, const T* points, int64_t B, int64_t N, int64_t height,       \
                                           int64_t width, bool as_released, double variance, T* grad_points, void*) {  \
    return project_sums_backward_cuda<T>(grad, {points, B, N}, {height, width, as_released}, variance, grad_points,    \
                                         nullptr);                                                                     \
  }                                                                                                                    \
  extern "C" size_t project_features_workspace_##T() { return 0; }                                                     \
  extern "C" int project_features_##T(const T* points, const T* features, int64_t B, int64_t N, int64_t C,             \
                                      int64_t height, int64_t width, bool as_released, double radius, double beta,     \
                                      T* images, T* coverage, void*) {                                                 \
    return project_features_cuda<T>({points, B, N}, {features, C}, {height, width, as_released}, {radius, beta},       \
                                    images, coverage, nullptr);                                                        \
  }                                                                                                                    \
  extern "C" size_t project_features_backward_workspace_##T(int64_t B, int64_t, int64_t, int64_t height,               \
                                                            int64_t width) {                                           \
    return project_features_backward_cuda_workspace<T>({nullptr, B, 0}, {height, width, false});                       \
  }                                                                                                                    \
  extern "C" int project_features_backward_##T(                                                                        \
      const T* grad, const T* points, const T* features, const T* images, int64_t B, int64_t N, int64_t C,             \
      int64_t height, int64_t width, bool as_released, double radius, double beta, T* grad_points, T* grad_features,   \
      void* workspace) {                                                                                               \
    return project_features_backward_cuda<T>(grad, {points, B, N}, {features, C}, images,                              \
                                             {height, width, as_released}, {radius, beta}, grad_points, grad_features, \
                                             workspace, nullptr);                                                      \
  }
EXPORT_PROJECTIONS(float)
EXPORT_PROJECTIONS(double)

#define VOXELS                                                                                                         \
  int64_t B, int64_t N, int64_t C, int64_t size, int64_t size_z, int64_t kernel_size, double camera_distance,          \
      double max_depth, bool max_projection, bool clip_after, bool divide_colours, bool colours_move_points,           \
      bool as_released, bool with_sigma
#define EXPORT_VOXELS(T)                                                                                               \
  extern "C" size_t render_voxels_workspace_##T(VOXELS) {                                                              \
    (void)with_sigma;                                                                                                  \
    return render_voxels_cuda_workspace<T>({nullptr, nullptr, nullptr, nullptr, B, N, C}, OPTIONS);                    \
  }                                                                                                                    \
  extern "C" int render_voxels_##T(const T* points, const T* sigma, const T* scale, const T* colours, VOXELS,          \
                                   T* silhouette, T* depth, T* colour, T* ends, void* workspace) {                     \
    (void)with_sigma;                                                                                                  \
    return render_voxels_cuda<T>({points, sigma, scale, colours, B, N, C}, OPTIONS,                                    \
                                 {silhouette, depth, colour, ends}, workspace, nullptr);                               \
  }                                                                                                                    \
  extern "C" size_t render_voxels_backward_workspace_##T(VOXELS) {                                                     \
    return render_voxels_backward_cuda_workspace<T>({nullptr, nullptr, nullptr, nullptr, B, N, C}, OPTIONS,            \
                                                    with_sigma);                                                       \
  }                                                                                                                    \
  extern "C" int render_voxels_backward_##T(                                                                           \
      const T* silhouette, const T* depth, const T* colour, const T* ends, const T* points, const T* sigma,            \
      const T* scale, const T* colours, VOXELS, T* grad_points, T* grad_sigma, T* grad_scale, T* grad_colours,         \
      void* workspace) {                                                                                               \
    return render_voxels_backward_cuda<T>(                                                                             \
        {silhouette, depth, colour, ends}, {points, sigma, scale, colours, B, N, C}, OPTIONS, with_sigma,              \
        {grad_points, grad_sigma, grad_scale, grad_colours}, workspace, nullptr);                                      \
  }
#define OPTIONS                                                                                                        \
  {size, size_z, kernel_size, camera_distance, max_depth, max_projection, clip_after, divide_colours,                  \
   colours_move_points, as_released}
EXPORT_VOXELS(float)
EXPORT_VOXELS(double)
