#include "render_voxels.h"

#include "isa.h"

namespace samplenet {

#define DECLARE(ISA)                                                                                               \
  namespace ISA {                                                                                                  \
  template <class T>                                                                                               \
  void render_voxels(const Clouds<T>&, const VoxelOptions&, const Images<T>&, const Parallel&);                    \
  template <class T>                                                                                               \
  void render_voxels_backward(const Images<const T>&, const Clouds<T>&, const VoxelOptions&, const CloudGradients<T>&, \
                              const Parallel&);                                                                    \
  }
FOR_EACH_ISA(DECLARE)

template <class T>
void render_voxels(const Clouds<T>& clouds, const VoxelOptions& options, const Images<T>& images, const Parallel& parallel) {
  SAMPLENET_DISPATCH(render_voxels, parallel, clouds, options, images);
}

template <class T>
void render_voxels_backward(const Images<const T>& grad, const Clouds<T>& clouds, const VoxelOptions& options,
                            const CloudGradients<T>& out, const Parallel& parallel) {
  SAMPLENET_DISPATCH(render_voxels_backward, parallel, grad, clouds, options, out);
}

#define INSTANTIATE(T)                                                                                                 \
  template void render_voxels<T>(const Clouds<T>&, const VoxelOptions&, const Images<T>&, const Parallel&);            \
  template void render_voxels_backward<T>(const Images<const T>&, const Clouds<T>&, const VoxelOptions&,               \
                                          const CloudGradients<T>&, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
