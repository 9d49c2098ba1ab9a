// How the CPU kernels use threads: the framework's own, through one callback, so that its thread count holds.
#pragma once
#include <cstdint>
#include <functional>

namespace samplenet {

// body(begin, end) is called for disjoint ranges that cover [0, n) once, possibly at the same time, and must not
// throw (guarded.h sees to it where memory is allocated).
using Body = std::function<void(int64_t begin, int64_t end)>;

// Runs `body` over [0, n) and returns when all of it is done. `cost`: nanoseconds an item takes, roughly.
struct Parallel {
  int threads;
  std::function<void(int64_t n, int64_t cost, const Body& body)> run;
};

}  // namespace samplenet
