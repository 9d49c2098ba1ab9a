#include "projections.h"

#include "isa.h"

namespace samplenet {

#define DECLARE(ISA)                                                                                                   \
  namespace ISA {                                                                                                      \
  template <class T>                                                                                                   \
  void project_sums(const Points<T>&, const Canvas&, double, T*, const Parallel&);                                     \
  template <class T>                                                                                                   \
  void project_sums_backward(const T*, const Points<T>&, const Canvas&, double, T*, const Parallel&);                  \
  template <class T>                                                                                                   \
  void project_features(const Points<T>&, const Features<T>&, const Canvas&, const Well&, T*, T*, const Parallel&);    \
  template <class T>                                                                                                   \
  void project_features_backward(const T*, const Points<T>&, const Features<T>&, const T*, const Canvas&, const Well&, \
                                 T*, T*, const Parallel&);                                                             \
  }
FOR_EACH_ISA(DECLARE)

template <class T>
void project_sums(const Points<T>& points, const Canvas& canvas, double variance, T* sums, const Parallel& parallel) {
  SAMPLENET_DISPATCH(project_sums, parallel, points, canvas, variance, sums);
}

template <class T>
void project_sums_backward(const T* grad, const Points<T>& points, const Canvas& canvas, double variance, T* grad_points,
                           const Parallel& parallel) {
  SAMPLENET_DISPATCH(project_sums_backward, parallel, grad, points, canvas, variance, grad_points);
}

template <class T>
void project_features(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                      T* images, T* coverage, const Parallel& parallel) {
  SAMPLENET_DISPATCH(project_features, parallel, points, features, canvas, well, images, coverage);
}

template <class T>
void project_features_backward(const T* grad, const Points<T>& points, const Features<T>& features, const T* images,
                               const Canvas& canvas, const Well& well, T* grad_points, T* grad_features,
                               const Parallel& parallel) {
  SAMPLENET_DISPATCH(project_features_backward, parallel, grad, points, features, images, canvas, well, grad_points,
                     grad_features);
}

#define INSTANTIATE(T)                                                                                                 \
  template void project_sums<T>(const Points<T>&, const Canvas&, double, T*, const Parallel&);                         \
  template void project_sums_backward<T>(const T*, const Points<T>&, const Canvas&, double, T*, const Parallel&);      \
  template void project_features<T>(const Points<T>&, const Features<T>&, const Canvas&, const Well&, T*, T*,          \
                                    const Parallel&);                                                                  \
  template void project_features_backward<T>(const T*, const Points<T>&, const Features<T>&, const T*, const Canvas&,  \
                                             const Well&, T*, T*, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
