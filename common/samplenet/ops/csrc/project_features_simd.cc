// Compiled once for each instruction set; see simd.h.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "projections.h"
#include "wells.h"

namespace samplenet::SAMPLENET_ISA {

// Nanoseconds that a cloud takes, roughly.
inline int64_t cost(int64_t N, int64_t C, const Canvas& canvas, const Well& well) {
  const double reach = 2 * well.radius + 1;
  const double pixels = std::min(reach, 1.0 * canvas.height) * std::min(reach, 1.0 * canvas.width);
  return N * (50 + static_cast<int64_t>(pixels) * (10 + C)) + canvas.height * canvas.width * (1 + C);
}

template <class T>
void project_features(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                      T* images, T* coverage, const Parallel& parallel) {
  const int64_t N = points.N, C = features.C, size = canvas.height * canvas.width;
  parallel.run(points.B, cost(N, C, canvas, well), [&](int64_t begin, int64_t end) {
    Wells<T> wells(canvas, well, N);
    for (int64_t b = begin; b < end; ++b) {
      const T* given = features.features + b * N * C;
      T *image = images + b * size * C, *covered = coverage + b * size;
      wells.put(points.points + b * N * 3, given, C);
      std::fill_n(image, size * C, T(0));
      int64_t k = 0;
      wells.each([&](int64_t n, int64_t pixel) {
        const T part = wells.parts[k++];
        for (int64_t c = 0; c < C; ++c) image[pixel * C + c] += part * given[n * C + c];
      });
      for (int64_t pixel = 0; pixel < size; ++pixel) {
        const T total = wells.total[pixel];
        covered[pixel] = total > 0;
        for (int64_t c = 0; c < C && total > 0; ++c) image[pixel * C + c] /= total;
      }
    }
  });
}

template <class T>
void project_features_backward(const T* grad, const Points<T>& points, const Features<T>& features, const T* images,
                               const Canvas& canvas, const Well& well, T* grad_points, T* grad_features,
                               const Parallel& parallel) {
  const int64_t N = points.N, C = features.C, size = canvas.height * canvas.width;
  const T share = static_cast<T>(canvas.as_released ? 1 + LEAK : 1);
  parallel.run(points.B, 2 * cost(N, C, canvas, well), [&](int64_t begin, int64_t end) {
    Wells<T> wells(canvas, well, N);
    std::vector<T> shown(size), of_scores(N);  // the gradient of a pixel along what it shows
    for (int64_t b = begin; b < end; ++b) {
      const T *given = features.features + b * N * C, *image = images + b * size * C, *slope = grad + b * size * C;
      T *out = grad_features + b * N * C, *moved = grad_points + b * N * 3;
      wells.put(points.points + b * N * 3, given, C);
      for (int64_t pixel = 0; pixel < size; ++pixel) {
        shown[pixel] = 0;
        for (int64_t c = 0; c < C; ++c) shown[pixel] += slope[pixel * C + c] * image[pixel * C + c];
      }
      std::fill_n(out, N * C, T(0));
      std::fill(of_scores.begin(), of_scores.end(), T(0));
      int64_t k = 0;
      wells.each([&](int64_t n, int64_t pixel) {
        const T weight = wells.parts[k++] / wells.total[pixel];
        T along = 0;
        for (int64_t c = 0; c < C; ++c) {
          out[n * C + c] += weight * slope[pixel * C + c];
          along += slope[pixel * C + c] * given[n * C + c];
        }
        of_scores[n] += weight * (along - share * shown[pixel]);
      });
      for (int64_t n = 0; n < N; ++n) {  // score = beta / (depth + OFFSET + TINY)
        const T score = wells.score(n);
        moved[n * 3] = moved[n * 3 + 1] = 0;
        moved[n * 3 + 2] = -of_scores[n] * score * score / static_cast<T>(well.beta);
      }
    }
  });
}

#define INSTANTIATE(T)                                                                                                 \
  template void project_features<T>(const Points<T>&, const Features<T>&, const Canvas&, const Well&, T*, T*,          \
                                    const Parallel&);                                                                  \
  template void project_features_backward<T>(const T*, const Points<T>&, const Features<T>&, const T*, const Canvas&,  \
                                             const Well&, T*, T*, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet::SAMPLENET_ISA
