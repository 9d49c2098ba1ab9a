#include "batch_norm_relu.h"

#include "isa.h"

namespace samplenet {

#define DECLARE(ISA)                                                                                                  \
  namespace ISA {                                                                                                     \
  template <class T>                                                                                                  \
  void batch_norm_relu(const T*, const T*, const T*, double, int64_t R, int64_t C, T*, T*, T*, const Parallel&);      \
  template <class T>                                                                                                  \
  void batch_norm_relu_backward(const T*, const T*, const T*, const T*, const T*, const T*, double, int64_t R,        \
                                int64_t C, T*, T*, T*, const Parallel&);                                              \
  }
FOR_EACH_ISA(DECLARE)

template <class T>
void batch_norm_relu(const T* features, const T* scale, const T* shift, double epsilon, int64_t R, int64_t C, T* out,
                     T* mean, T* variance, const Parallel& parallel) {
  SAMPLENET_DISPATCH(batch_norm_relu, parallel, features, scale, shift, epsilon, R, C, out, mean, variance);
}

template <class T>
void batch_norm_relu_backward(const T* grad, const T* features, const T* scale, const T* shift, const T* mean,
                              const T* variance, double epsilon, int64_t R, int64_t C, T* grad_features, T* grad_scale,
                              T* grad_shift, const Parallel& parallel) {
  SAMPLENET_DISPATCH(batch_norm_relu_backward, parallel, grad, features, scale, shift, mean, variance, epsilon, R, C,
                     grad_features, grad_scale, grad_shift);
}

#define INSTANTIATE(T)                                                                                                 \
  template void batch_norm_relu<T>(const T*, const T*, const T*, double, int64_t, int64_t, T*, T*, T*,                 \
                                   const Parallel&);                                                                   \
  template void batch_norm_relu_backward<T>(const T*, const T*, const T*, const T*, const T*, const T*, double,        \
                                            int64_t, int64_t, T*, T*, T*, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
