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
SDV_INLINE S interpolate(S real, S fake, S epsilon) {
  return epsilon < S(0.5) ? real + epsilon * (fake - real) : fake - (fake - real) * (1 - epsilon);
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

// --- ranks ---------------------------------------------------------------------------------------

// A quotient of polynomials with the coefficients in ascending order.
template <class S, int N, int M>
SDV_INLINE S rational(S x, const double (&above)[N], const double (&below)[M]) {
  S p = static_cast<S>(above[N - 1]), q = static_cast<S>(below[M - 1]);
  for (int i = N - 2; i >= 0; --i) p = p * x + static_cast<S>(above[i]);
  for (int i = M - 2; i >= 0; --i) q = q * x + static_cast<S>(below[i]);
  return p / q;
}

// The inverse of the normal distribution's cumulative function at p in (0, 1): Wichura 1988,
// "Algorithm AS 241: The Percentage Points of the Normal Distribution", routine PPND16, relative
// error 1e-16.
template <class S>
SDV_INLINE S normal_quantile(S p) {
  constexpr double middle_above[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                     1.9715909503065514427e3, 1.3731693765509461125e4,
                                     4.5921953931549871457e4, 6.7265770927008700853e4,
                                     3.3430575583588128105e4, 2.5090809287301226727e3};
  constexpr double middle_below[] = {1.0,
                                     4.2313330701600911252e1,
                                     6.8718700749205790830e2,
                                     5.3941960214247511077e3,
                                     2.1213794301586595867e4,
                                     3.9307895800092710610e4,
                                     2.8729085735721942674e4,
                                     5.2264952788528545610e3};
  constexpr double near_above[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                   5.76949722146069140550e0,  3.64784832476320460504e0,
                                   1.27045825245236838258e0,  2.41780725177450611770e-1,
                                   2.27238449892691845833e-2, 7.74545014278341407640e-4};
  constexpr double near_below[] = {1.0,
                                   2.05319162663775882187e0,
                                   1.67638483018380384940e0,
                                   6.89767334985100004550e-1,
                                   1.48103976427480074590e-1,
                                   1.51986665636164571966e-2,
                                   5.47593808499534494600e-4,
                                   1.05075007164441684324e-9};
  constexpr double far_above[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                  1.78482653991729133580e0,  2.96560571828504891230e-1,
                                  2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                  2.71155556874348757815e-5, 2.01033439929228813265e-7};
  constexpr double far_below[] = {1.0,
                                  5.99832206555887937690e-1,
                                  1.36929880922735805310e-1,
                                  1.48753612908506148525e-2,
                                  7.86869131145613259100e-4,
                                  1.84631831751005468180e-5,
                                  1.42151175831644588870e-7,
                                  2.04426310338993978564e-15};
  const S q = p - S(0.5);
  if (std::abs(q) <= S(0.425))
    return q * rational(S(0.180625) - q * q, middle_above, middle_below);
  const S r = std::sqrt(-std::log(q < 0 ? p : 1 - p));
  const S tail = r <= 5 ? rational(r - S(1.6), near_above, near_below)
                        : rational(r - S(5), far_above, far_below);
  return q < 0 ? -tail : tail;
}

// Its derivative, given its value s: sqrt(2 pi) exp(s^2 / 2).
template <class S>
SDV_INLINE S normal_quantile_slope(S s) {
  return S(2.5066282746310005024) * std::exp(s * s / 2);
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
