// What a kernel needs of the threads it runs on: denormal numbers, and a way out for exceptions.
//
// TensorFlow's threads take numbers below 1e-38 for zero; the kernels must not, or ties appear where there are none.
#pragma once
#include <exception>
#include <mutex>

#include "parallel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace samplenet {

// While it lives, this thread computes with denormal numbers.
class KeepDenormals {
#if defined(__x86_64__)
  const unsigned old_ = _mm_getcsr();

 public:
  KeepDenormals() { _mm_setcsr(old_ & ~0x8040u); }  // flush to zero, denormals are zero
  ~KeepDenormals() { _mm_setcsr(old_); }
#elif defined(__aarch64__)
  uint64_t old_;

 public:
  KeepDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(old_));
    asm volatile("msr fpcr, %0" ::"r"(old_ & ~(uint64_t{1} << 24)));
  }
  ~KeepDenormals() { asm volatile("msr fpcr, %0" ::"r"(old_)); }
#else
 public:
  KeepDenormals() {}
#endif
  KeepDenormals(const KeepDenormals&) = delete;
};

// The same threads, computing with denormal numbers; what a body throws (there may be too little memory) is thrown on the
// calling thread when all are done. `parallel` must outlive the result.
inline Parallel guarded(const Parallel& parallel) {
  return {parallel.threads, [&parallel](int64_t n, int64_t cost, const Body& body) {
            std::exception_ptr first;
            std::mutex mutex;
            parallel.run(n, cost, [&](int64_t begin, int64_t end) {
              const KeepDenormals keep;
              try {
                body(begin, end);
              } catch (...) {
                const std::lock_guard<std::mutex> lock(mutex);
                if (!first) first = std::current_exception();
              }
            });
            if (first) std::rethrow_exception(first);
          }};
}

}  // namespace samplenet
