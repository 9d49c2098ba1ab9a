// Marks the functions that the CPU and the CUDA kernels share.
#pragma once

#ifdef __CUDACC__
#define SAMPLENET_BOTH __host__ __device__
#else
#define SAMPLENET_BOTH
#endif
