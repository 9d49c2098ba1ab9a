// The exponential function of numbers that are not above 0, for loops that the compiler turns into vectors.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace samplenet::SAMPLENET_ISA {

// Below this power of e, float has no more numbers of full precision, and double nearly none.
template <class T>
constexpr T LOWEST_POWER = sizeof(T) == 4 ? T(-87) : T(-708);

// e^x, to two units in the last place; e^-87 for any x below -87.
inline float exponential(float x) {
  x = x > LOWEST_POWER<float> ? x : LOWEST_POWER<float>;
  // x = n ln 2 + r, n whole. Added to 3 * 2^22, n is rounded to a whole number and stands in the lowest bits.
  const float shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: n times the first is exact
  float sum = 1.0f / 5040;                                       // of the series of e^r, |r| < 0.35
  for (const float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) sum = sum * r + factor;
  int32_t bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = static_cast<int32_t>((static_cast<uint32_t>(bits) << 23) + (127u << 23));  // of 2^n
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return sum * power;
}

inline double exponential(double x) { return std::exp(x); }

}  // namespace samplenet::SAMPLENET_ISA
