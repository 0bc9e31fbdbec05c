// A column's block of a row: reductions over it, the checks of where blocks lie, and the first
// place at which a thread finds fault.
#pragma once

#include <atomic>
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

template <class T>
SDV_INLINE T block_inner(const T* x, const T* y, int64_t n) {
  T sum = 0;
  int64_t i = 0;
  if (n >= kLanes) {
    T lanes[kLanes] = {};
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) lanes[k] += x[i + k] * y[i + k];
    for (int k = 0; k < kLanes; ++k) sum += lanes[k];
  }
  for (; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// The first of the places at which threads find fault. An exception thrown by a thread would reach
// the caller without its text, so a failure is carried out by hand and raised after.
class FirstFault {
 public:
  // A place, or -1 for none.
  void note(int64_t place) {
    int64_t first = place_.load();
    while (place >= 0 && place < first && !place_.compare_exchange_weak(first, place));
  }
  bool found() const { return place() != kNone; }
  int64_t place() const { return place_.load(); }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> place_{kNone};
};

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
