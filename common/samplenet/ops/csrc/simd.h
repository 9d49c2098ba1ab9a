// Vectors of floats or doubles in the widest registers this file is compiled for. Kernels that include it are compiled
// once for each instruction set, each time in another namespace SAMPLENET_ISA; isa.cc picks one at run time.
#pragma once
#include <cstdint>
#include <limits>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace samplenet::SAMPLENET_ISA {

template <class T>
constexpr T INF = std::numeric_limits<T>::infinity();

// W lanes of T in a type V that has the compiler's own + - * (never fused: -ffp-contract=off). min and max give their
// second argument where the first is NaN; comparisons with NaN are false. Bit i of bits(mask) is lane i.
template <class T>
struct Simd;

#if defined(__AVX512F__)
#define SAMPLENET_SIMD(T, VEC, LANES, S, MASK)                                                     \
  template <>                                                                                      \
  struct Simd<T> {                                                                                 \
    using V = VEC;                                                                                 \
    using Mask = MASK;                                                                             \
    static constexpr int W = LANES;                                                                \
    static V set(T a) { return _mm512_set1_##S(a); }                                               \
    static V load(const T* p) { return _mm512_loadu_##S(p); }                                      \
    static void store(T* p, V a) { _mm512_storeu_##S(p, a); }                                      \
    static V min(V a, V b) { return _mm512_min_##S(a, b); }                                        \
    static V max(V a, V b) { return _mm512_max_##S(a, b); }                                        \
    static Mask less(V a, V b) { return _mm512_cmp_##S##_mask(a, b, _CMP_LT_OQ); }                 \
    static Mask less_equal(V a, V b) { return _mm512_cmp_##S##_mask(a, b, _CMP_LE_OQ); }           \
    static Mask equal(V a, V b) { return _mm512_cmp_##S##_mask(a, b, _CMP_EQ_OQ); }                \
    static V select(Mask mask, V yes, V no) { return _mm512_mask_blend_##S(mask, no, yes); }       \
    static uint32_t bits(Mask mask) { return mask; }                                               \
    static T largest(V a) { return _mm512_reduce_max_##S(a); }                                     \
    static T smallest(V a) { return _mm512_reduce_min_##S(a); }                                    \
    static V fma(V a, V b, V c) { return _mm512_fmadd_##S(a, b, c); }                              \
    static int compress(T* p, Mask mask, V a) { /* to a register first: slow to memory on Zen 4 */ \
      store(p, _mm512_maskz_compress_##S(mask, a));                                                \
      return __builtin_popcount(mask);                                                             \
    }                                                                                              \
  };
SAMPLENET_SIMD(float, __m512, 16, ps, __mmask16)
SAMPLENET_SIMD(double, __m512d, 8, pd, __mmask8)

#else
template <class T>
struct Lanes;
#if defined(__AVX2__)
#define SAMPLENET_SIMD(T, VEC, LANES, S)                                                  \
  template <>                                                                             \
  struct Lanes<T> {                                                                       \
    using V = VEC;                                                                        \
    using Mask = VEC;                                                                     \
    static constexpr int W = LANES;                                                       \
    static V set(T a) { return _mm256_set1_##S(a); }                                      \
    static V load(const T* p) { return _mm256_loadu_##S(p); }                             \
    static void store(T* p, V a) { _mm256_storeu_##S(p, a); }                             \
    static V min(V a, V b) { return _mm256_min_##S(a, b); }                               \
    static V max(V a, V b) { return _mm256_max_##S(a, b); }                               \
    static Mask less(V a, V b) { return _mm256_cmp_##S(a, b, _CMP_LT_OQ); }               \
    static Mask less_equal(V a, V b) { return _mm256_cmp_##S(a, b, _CMP_LE_OQ); }         \
    static Mask equal(V a, V b) { return _mm256_cmp_##S(a, b, _CMP_EQ_OQ); }              \
    static V select(Mask mask, V yes, V no) { return _mm256_blendv_##S(no, yes, mask); }  \
    static uint32_t bits(Mask mask) { return _mm256_movemask_##S(mask); }                 \
    static V fma(V a, V b, V c) { return _mm256_fmadd_##S(a, b, c); }                     \
  };
SAMPLENET_SIMD(float, __m256, 8, ps)
SAMPLENET_SIMD(double, __m256d, 4, pd)

#else  // 16 bytes in the compiler's own vectors: SSE2, NEON, or plain code
template <class T>
struct Lanes {
  typedef T V __attribute__((vector_size(16)));
  using Mask = decltype(V{} < V{});
  static constexpr int W = 16 / sizeof(T);
  static V set(T a) { return V{} + a; }
  static V load(const T* p) {
    V a;
    __builtin_memcpy(&a, p, sizeof(a));
    return a;
  }
  static void store(T* p, V a) { __builtin_memcpy(p, &a, sizeof(a)); }
  static V min(V a, V b) { return a < b ? a : b; }
  static V max(V a, V b) { return a > b ? a : b; }
  static Mask less(V a, V b) { return a < b; }
  static Mask less_equal(V a, V b) { return a <= b; }
  static Mask equal(V a, V b) { return a == b; }
  static V select(Mask mask, V yes, V no) { return mask ? yes : no; }
  static V fma(V a, V b, V c) { return a * b + c; }
  static uint32_t bits(Mask mask) {
    uint32_t all = 0;
    for (int i = 0; i < W; ++i) all |= static_cast<uint32_t>(mask[i] & 1) << i;
    return all;
  }
};
#endif

template <class T>
struct Simd : Lanes<T> {
  using typename Lanes<T>::V;
  using typename Lanes<T>::Mask;
  static T largest(V a) {
    T best = a[0];
    for (int i = 1; i < Lanes<T>::W; ++i) best = a[i] > best ? a[i] : best;
    return best;
  }
  static T smallest(V a) {
    T best = a[0];
    for (int i = 1; i < Lanes<T>::W; ++i) best = a[i] < best ? a[i] : best;
    return best;
  }
  static int compress(T* p, Mask mask, V a) {
    int count = 0;
    for (uint32_t rest = Lanes<T>::bits(mask); rest; rest &= rest - 1) p[count++] = a[__builtin_ctz(rest)];
    return count;
  }
};
#endif

// Squared distances, in the fixed order of operations.
template <class V>
inline V squared(V dx, V dy, V dz) {
  return (dx * dx + dy * dy) + dz * dz;
}

}  // namespace samplenet::SAMPLENET_ISA
