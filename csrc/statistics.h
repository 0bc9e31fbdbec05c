// Scalar formulas of the statistics, shared by the CPU and the CUDA kernels (see formulas.h).
#pragma once

#include "formulas.h"

namespace sdv_wgangp {

// An unsigned number that sorts as the value does, for radix sorts: of a negative number all bits
// are turned over, of a positive one the sign alone. Both zeros are one number and so are all NaN,
// which come last, as in torch.sort.
SDV_INLINE uint32_t sortable_key(float value) {
  if (value != value) return 0xFFFFFFFFu;
  if (value == 0) return 0x80000000u;
  const uint32_t bits = static_cast<uint32_t>(bits_of_float(value));
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

SDV_INLINE uint64_t sortable_key(double value) {
  if (value != value) return 0xFFFFFFFFFFFFFFFFull;
  if (value == 0) return 0x8000000000000000ull;
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits >> 63 ? ~bits : bits | 0x8000000000000000ull;
}

template <class T>
struct SortableKey;
template <>
struct SortableKey<float> {
  using type = uint32_t;
};
template <>
struct SortableKey<double> {
  using type = uint64_t;
};

// A column's mean in two parts, of which the first is the mean rounded to the type.
template <class T>
struct Mean {
  T high, low;
};

// `mean` + `rest` in double is the mean; `rest` is what rounding lost of a mean of doubles, and NaN
// where that is infinite.
SDV_INLINE Mean<float> split_mean(double mean, double, float) {
  const float high = static_cast<float>(mean);
  return {high, static_cast<float>(mean - static_cast<double>(high))};
}
SDV_INLINE Mean<double> split_mean(double mean, double rest, double) {
  const double lost = rest == rest ? rest : 0.0;
  const double high = mean + lost;
  return {high, (mean - high) + lost};
}

// A value less its column's mean, to the type's precision however large the mean is beside the
// deviation: the first subtraction loses no more than half a unit in the last place of its result.
template <class T>
SDV_INLINE T centred(T value, T high, T low) {
  return (value - high) - low;
}

// The backward of a covariance C = Xc' Xc / (n - correction): with g = dL/dC,
// dL/dX = Xc (g + g') / (n - correction), of which this is one element of the right factor.
template <class T>
SDV_INLINE T covariance_gradient(T g, T transposed, double inverse_count) {
  return static_cast<T>((static_cast<double>(g) + static_cast<double>(transposed)) *
                        inverse_count);
}

}  // namespace sdv_wgangp
