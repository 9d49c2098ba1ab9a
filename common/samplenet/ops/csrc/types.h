// The types that every kernel is compiled for.
#pragma once

// X(T, I) for each type T of coordinates and distances and each type I of indices: TensorFlow's are
// int32_t, PyTorch's int64_t.
#define FOR_EACH_TYPE(X) X(float, int32_t) X(float, int64_t) X(double, int32_t) X(double, int64_t)
