// Scalar formulas that the CPU and the CUDA kernels share.
//
// Only the loops differ between the devices; the arithmetic is here, so that the tests on a
// machine without a GPU exercise what the GPU computes.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SDV_INLINE __host__ __device__ __forceinline__
#else
// Always inline: each copy of a kernel that is compiled for a newer instruction set (vector.h)
// must contain these formulas, compiled for the same set.
#define SDV_INLINE inline __attribute__((always_inline))
#endif

namespace sdv_wgangp {

SDV_INLINE float float_from_bits(int32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

SDV_INLINE int32_t bits_of_float(float value) {
  int32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// exp(x) in float32, without a branch, so that a loop over it becomes vector code.
//
// x = n ln 2 + r with n an integer and |r| <= ln 2 / 2, hence exp(x) = 2^n exp(r).
// ln 2 is split in two floats (Cody and Waite) so that n ln 2 is subtracted without rounding;
// exp(r) is a polynomial of degree 7, relative error 1e-7 in all. 2^n is applied as two factors:
// one alone would overflow for the largest results.
// +inf above 88.73, NaN for NaN, and 0 below -87.33, where exp(x) would be subnormal: arithmetic
// with subnormal numbers is a hundred times slower on most processors.
SDV_INLINE float exponential(float x) {
  constexpr float lowest = -87.33654f;
  // Comparisons with NaN are false, so NaN passes the limits unchanged.
  float y = x < lowest ? lowest : x;
  y = y > 89.0f ? 89.0f : y;
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  constexpr float rounder = 12582912.0f;
  const float shifted = y * 1.44269504f + rounder;
  const float n = shifted - rounder;
  const int32_t exponent = static_cast<int32_t>(static_cast<uint32_t>(bits_of_float(shifted)) -
                                                static_cast<uint32_t>(0x4B400000));
  const float r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  const int32_t half = exponent >> 1;
  const uint32_t first = static_cast<uint32_t>(half + 127) << 23;
  const uint32_t second = static_cast<uint32_t>(exponent - half + 127) << 23;
  const float value = p * float_from_bits(static_cast<int32_t>(first)) *
                      float_from_bits(static_cast<int32_t>(second));
  return x < lowest ? 0.0f : value;
}

SDV_INLINE double exponential(double x) { return exp(x); }

// A level's weight in a softmax whose largest weight is 1: exp(x), x <= 0. In float32 weights below
// exp(-64) = 1.6e-28 are 0: they change no sum, and a little further on (divided by the sum,
// multiplied by a gradient) they would become subnormal.
SDV_INLINE float softmax_weight(float x) { return x < -64.0f ? 0.0f : exponential(x); }
SDV_INLINE double softmax_weight(double x) { return exponential(x); }

// The backward of a softmax block p = softmax(z / temperature), one element of it:
// dL/dz = p (dL/dp - <dL/dp, p>) / temperature, the inner product taken over the block.
template <class T>
SDV_INLINE T softmax_gradient(T grad, T p, T inner, T inverse_temperature) {
  return p * (grad - inner) * inverse_temperature;
}

// 1 / temperature, kept finite: the scaled distance to a block's largest logit is then 0 for
// that logit itself (not 0 * inf) and -inf or very negative for all the others.
template <class T>
inline T inverse_temperature(double temperature, T largest) {
  const double inverse = 1.0 / temperature;
  return inverse < static_cast<double>(largest) ? static_cast<T>(inverse) : largest;
}

// --- critic -------------------------------------------------------------------------------------

// The upper half of a float32: 8 bits of significand and the full range of exponents.
struct bfloat16 {
  uint16_t bits;
};

SDV_INLINE float widen(bfloat16 x) {
  return float_from_bits(static_cast<int32_t>(static_cast<uint32_t>(x.bits) << 16));
}
SDV_INLINE float widen(float x) { return x; }
SDV_INLINE double widen(double x) { return x; }

// To the nearest bfloat16, ties to even. The NaNs that arithmetic gives stay NaN (one whose
// payload is all ones would not, and nothing makes such).
SDV_INLINE void narrow(float x, bfloat16& result) {
  const uint32_t bits = static_cast<uint32_t>(bits_of_float(x));
  result.bits = static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
SDV_INLINE void narrow(float x, float& result) { result = x; }
SDV_INLINE void narrow(double x, double& result) { result = x; }

// Leaky rectifier and its slope. For a slope >= 0 the slope can be read off the result as well:
// it is positive where the argument is, so the arguments need not be kept.
template <class S>
SDV_INLINE S leaky(S z, S slope) {
  return z > 0 ? z : z * slope;
}
template <class S>
SDV_INLINE S leaky_slope(S z, S slope) {
  return z > 0 ? S(1) : slope;
}

// Point between a real and a fake value, both ends exact.
template <class S>
SDV_INLINE S interpolate(S real, S fake, S share) {
  return share < S(0.5) ? real + share * (fake - real) : fake - (fake - real) * (1 - share);
}

// Norm from its square, which rounding may leave a little below 0. NaN stays NaN.
template <class S>
SDV_INLINE S gradient_norm(S squared) {
  return std::sqrt(squared < 0 ? S(0) : squared);
}

// Penalties of the norm n of the critic's gradient at a row: the penalty is the mean of
// weight * penalty_term(n), and its derivative along the gradient g is
// weight / rows * penalty_pull(n) * g, as dn/dg = g / n.
//
//   wgan_gp  (n - 1)^2               at interpolates        Gulrajani et al. 2017, equation 3
//   wgan_lp  max(0, n - 1)^2         at interpolates        Petzka et al. 2018, equation 8
//   r1, r2   n^2 / 2                 at real, fake rows     Mescheder et al. 2018, equation 9
enum class Penalty : int { none, wgan_gp, wgan_lp, r1, r2, r1_r2 };

template <class S>
SDV_INLINE S penalty_term(Penalty kind, S norm) {
  if (kind == Penalty::wgan_gp) return (norm - 1) * (norm - 1);
  if (kind == Penalty::wgan_lp) return norm < 1 ? S(0) : (norm - 1) * (norm - 1);
  return norm * norm / 2;
}
// A gradient of zero has no direction: there the pull is 0, the subgradient of the norm.
template <class S>
SDV_INLINE S penalty_pull(Penalty kind, S norm) {
  if (kind == Penalty::wgan_gp) return norm > 0 ? 2 * (1 - 1 / norm) : S(0);
  if (kind == Penalty::wgan_lp) return norm > 1 ? 2 * (1 - 1 / norm) : S(0);
  return S(1);
}

// --- general penalty ----------------------------------------------------------------------------

// Norms are summed in double. Squares of floats neither overflow nor vanish there. Squares of
// doubles do; this is the power of two by which a row has to be multiplied before its squares are
// added up once more, or 1 where their sum, `squared`, may stand. The last argument is a tag.
SDV_INLINE double norm_scale(double, float) { return 1.0; }
SDV_INLINE double norm_scale(double squared, double) {
  if (squared > 0x1p900) return 0x1p-600;
  return squared < 0x1p-900 ? 0x1p600 : 1.0;
}

// What the gradient g of a row is to be multiplied by, to have the derivative along it of
// (to_penalty rows / weight) P + to_norm n: with dn/dg = g / n,
// to_penalty * penalty_pull(n) + to_norm / n.
//
// A zero gradient has no direction. Beside it, where 1 / n would overflow, the direction of length
// 1 shrinks to 0; no float32 is so small. NaN stays NaN, also where penalty_pull gives 0.
SDV_INLINE double direction_factor(Penalty kind, double norm, double to_penalty, double to_norm) {
  const double n = norm > 0 && norm < 0x1p-960 ? 0x1p-960 : norm;
  return to_penalty * penalty_pull(kind, n) + (n == 0 ? 0.0 : to_norm / n);
}

}  // namespace sdv_wgangp
