// Runs CUDA kernels on the CPU, for tests: each thread of a block is a fiber that switches at barriers and warp-wide
// operations. Only what the kernels here use: full warps and masks, one-dimensional blocks, static shared memory.
//
// Blocks and fibers run in the order of `seed`: 0 ascending, 1 descending, others shuffled anew in each round, in which
// three of four warps rest, so that warps run apart. A result that the order of atomics, or a missing barrier, can
// change differs between seeds.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // blocks run one after the other

inline struct Index { unsigned x; } threadIdx, blockIdx, blockDim, gridDim;
using cudaStream_t = void*;
enum { cudaSuccess = 0, cudaErrorInvalidValue = 1 };

namespace emulator {

constexpr size_t kStack = 64 << 10;

struct Fiber {
  ucontext_t start;
  jmp_buf at;
  bool started = false, done = false;
  unsigned barriers = 0, exchanges = 0;  // passed or arrived at
  uint64_t slot[2];                      // what it shows its warp; two, as a lane may be one exchange ahead
};

inline uint32_t seed = 0;
inline std::vector<Fiber> fibers;
inline std::unique_ptr<char[]> stacks;
inline std::function<void()> body;
inline Fiber* current;
inline jmp_buf scheduler;
inline bool progress;

inline void fail(const char* why) { std::fprintf(stderr, "emulator: %s\n", why), std::abort(); }

inline void yield() {
  if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}

inline void entry() {
  body();
  current->done = progress = true;
  _longjmp(scheduler, 1);
}

inline void resume(size_t i) {
  current = &fibers[i];
  threadIdx.x = static_cast<unsigned>(i);
  if (_setjmp(scheduler)) return;
  if (current->started) _longjmp(current->at, 1);
  current->started = true;
  getcontext(&current->start);
  current->start.uc_stack.ss_sp = stacks.get() + i * kStack;
  current->start.uc_stack.ss_size = kStack;
  makecontext(&current->start, entry, 0);
  setcontext(&current->start);
}

// 0 .. n - 1 in the order of the seed.
inline std::vector<int64_t> order(int64_t n, std::mt19937& random) {
  std::vector<int64_t> out(n);
  std::iota(out.begin(), out.end(), int64_t{0});
  if (seed == 1) std::reverse(out.begin(), out.end());
  if (seed > 1) std::shuffle(out.begin(), out.end(), random);
  return out;
}

inline int run(int64_t blocks, int threads, std::function<void()> kernel) {
  if (blocks < 1 || blocks > INT32_MAX || threads < 32 || threads > 1024 || threads % 32) return cudaErrorInvalidValue;
  std::mt19937 random(seed);
  body = std::move(kernel);
  stacks.reset(new char[threads * kStack]);
  blockDim.x = static_cast<unsigned>(threads);
  gridDim.x = static_cast<unsigned>(blocks);
  for (int64_t block : order(blocks, random)) {
    blockIdx.x = static_cast<unsigned>(block);
    fibers.assign(threads, Fiber());
    for (int idle = 0; std::any_of(fibers.begin(), fibers.end(), [](const Fiber& f) { return !f.done; });) {
      progress = false;
      const uint32_t resting = seed > 1 ? random() | random() : 0;
      for (int64_t i : order(threads, random))
        if (!fibers[i].done && !(resting >> i / 32 & 1)) resume(i);
      idle = progress ? 0 : idle + 1;
      if (idle > 200) fail("threads wait for ever");
    }
  }
  return cudaSuccess;
}

// Shows `value` to the warp; returns the warp's first fiber and, in `slot`, where all values are.
inline const Fiber* exchange(uint64_t value, int& slot, unsigned mask = ~0u) {
  if (mask != ~0u) fail("a partial mask");
  Fiber* warp = &fibers[threadIdx.x / 32 * 32];
  const unsigned turn = current->exchanges++;
  slot = turn & 1;
  current->slot[slot] = value;
  progress = true;
  while (std::any_of(warp, warp + 32, [turn](const Fiber& f) { return f.exchanges <= turn; })) yield();
  return warp;
}

template <class T>
uint64_t pack(T value) {
  uint64_t out = 0;
  std::memcpy(&out, &value, sizeof(T));
  return out;
}

template <class T>
T unpack(uint64_t value) {
  T out;
  std::memcpy(&out, &value, sizeof(T));
  return out;
}

template <class T, class F>
T reduce(unsigned mask, T value, F better) {
  int slot;
  const Fiber* warp = exchange(pack(value), slot, mask);
  T best = unpack<T>(warp[0].slot[slot]);
  for (int lane = 1; lane < 32; ++lane) {
    const T other = unpack<T>(warp[lane].slot[slot]);
    if (better(other, best)) best = other;
  }
  return best;
}

}  // namespace emulator

inline void __syncthreads() {
  const unsigned turn = emulator::current->barriers++;
  emulator::progress = true;
  while (std::any_of(emulator::fibers.begin(), emulator::fibers.end(),
                     [turn](const emulator::Fiber& f) { return !f.done && f.barriers <= turn; }))
    emulator::yield();
}
inline void __syncwarp() {
  int slot;
  emulator::exchange(0, slot);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int from) {
  int slot;
  const emulator::Fiber* warp = emulator::exchange(emulator::pack(value), slot, mask);
  return emulator::unpack<T>(warp[from & 31].slot[slot]);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ bits);
}
inline unsigned __ballot_sync(unsigned mask, bool value) {
  int slot;
  const emulator::Fiber* warp = emulator::exchange(value, slot, mask);
  unsigned out = 0;
  for (int lane = 0; lane < 32; ++lane) out |= static_cast<unsigned>(warp[lane].slot[slot]) << lane;
  return out;
}
template <class T>
T __reduce_max_sync(unsigned mask, T value) { return emulator::reduce(mask, value, std::greater<T>()); }
template <class T>
T __reduce_min_sync(unsigned mask, T value) { return emulator::reduce(mask, value, std::less<T>()); }

template <class T>
T atomicMin(T* at, T value) { return std::exchange(*at, std::min(*at, value)); }
template <class T>
T atomicAdd(T* at, T value) { return std::exchange(*at, *at + value); }

inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __float_as_int(float v) { return static_cast<int>(emulator::pack(v)); }
inline float __int_as_float(int v) { return emulator::unpack<float>(emulator::pack(v)); }
inline long long __double_as_longlong(double v) { return static_cast<long long>(emulator::pack(v)); }
inline double __longlong_as_double(long long v) { return emulator::unpack<double>(emulator::pack(v)); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline int cudaMemsetAsync(void* at, int value, size_t bytes, cudaStream_t) {
  std::memset(at, value, bytes);
  return cudaSuccess;
}
