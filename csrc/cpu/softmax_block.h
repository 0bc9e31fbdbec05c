// A column's block of a row: reductions over it, and the checks of where blocks lie.
#pragma once

#include <limits>

#include "../checks.h"
#include "../formulas.h"
#include "vector.h"

namespace sdv_wgangp {

template <class T>
SDV_INLINE T block_maximum(const T* x, int64_t n) {
  T maximum = -std::numeric_limits<T>::infinity();
  int64_t i = 0;
  if (n >= kLanes) {
    T lanes[kLanes];
    for (int k = 0; k < kLanes; ++k) lanes[k] = maximum;
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) lanes[k] = x[i + k] > lanes[k] ? x[i + k] : lanes[k];
    for (int k = 0; k < kLanes; ++k) maximum = lanes[k] > maximum ? lanes[k] : maximum;
  }
  for (; i < n; ++i) maximum = x[i] > maximum ? x[i] : maximum;
  return maximum;
}

// Accumulates in A, which is double where the block may be long and exactness matters.
template <class A, class T>
SDV_INLINE A block_sum(const T* x, int64_t n) {
  A sum = 0;
  int64_t i = 0;
  if (n >= kLanes) {
    A lanes[kLanes] = {};
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) lanes[k] += x[i + k];
    // Halves of a fixed size, one after the other: short chains of additions.
    A eight[8], four[4];
    for (int k = 0; k < 8; ++k) eight[k] = lanes[k] + lanes[k + 8];
    for (int k = 0; k < 4; ++k) four[k] = eight[k] + eight[k + 4];
    sum = (four[0] + four[2]) + (four[1] + four[3]);
  }
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// Checks the values of `offsets`, whose shape was checked; they must end with `width`. Returns
// them, contiguous.
inline Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
  const int64_t columns = offsets.size(0) - 1;
  const Tensor held = torch::stable::contiguous(offsets);
  const int64_t* at = held.const_data_ptr<int64_t>();
  SDV_CHECK(at[0] == 0, op, ": offsets must begin with 0, got ", at[0]);
  for (int64_t c = 0; c < columns; ++c)
    SDV_CHECK(at[c] < at[c + 1], op, ": column ", c, " is empty, offsets[", c, "] = ", at[c],
              " and offsets[", c + 1, "] = ", at[c + 1]);
  SDV_CHECK(at[columns] == width, op, ": offsets must end with the width of the logits, ", width,
            ", got ", at[columns]);
  return held;
}

}  // namespace sdv_wgangp
