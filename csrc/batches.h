// Batches of matrices [batch, rows, columns]: checks, and access without a copy where it can be.
#pragma once

#include "checks.h"

namespace sdv_wgangp {

inline void check_batch(const char* op, const char* name, const Tensor& tensor) {
  SDV_CHECK(tensor.dim() == 3, op, ": ", name,
            " must have three dimensions (batch, rows, columns), got shape ", shape(tensor));
  check_floating(op, name, tensor);
  // Positions inside a matrix are kept in 32 bits.
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  SDV_CHECK(tensor.size(1) < limit && tensor.size(2) < limit, op, ": ", name,
            " is too large, got shape ", shape(tensor));
}

// `other` must have the given shape and be of the type and on the device of `tensor`.
template <size_t Dims>
inline void check_shape(const char* op, const char* name, const Tensor& tensor,
                        const char* other_name, const Tensor& other,
                        const int64_t (&sizes)[Dims]) {
  bool equal = other.dim() == static_cast<int64_t>(Dims);
  std::ostringstream expected;
  for (size_t i = 0; i < Dims; ++i) {
    equal = equal && other.size(static_cast<int64_t>(i)) == sizes[i];
    expected << (i ? ", " : "") << sizes[i];
  }
  SDV_CHECK(equal, op, ": ", other_name, " must have shape [", expected.str(), "], got ",
            shape(other));
  SDV_CHECK(other.scalar_type() == tensor.scalar_type(), op, ": ", other_name,
            " must have the same dtype as ", name);
  SDV_CHECK(other.device() == tensor.device(), op, ": ", other_name, " must be on the device of ",
            name);
}

// The matrices of a batch. Elements may lie at any strides (views, expanded arguments): nothing
// is copied.
template <class T>
struct Matrices {
  explicit Matrices(const Tensor& tensor)
      : data(tensor.const_data_ptr<T>()),
        batch_stride(tensor.stride(0)),
        row_stride(tensor.stride(1)),
        column_stride(tensor.stride(2)) {}

  const T* const data;
  const int64_t batch_stride, row_stride, column_stride;
};

// `tensor` itself where the elements of a row are adjacent, a contiguous copy otherwise. To be
// held in a variable: a pointer into an unnamed temporary would dangle.
inline Tensor with_adjacent_columns(const Tensor& tensor) {
  const int64_t last = tensor.dim() - 1;
  return tensor.size(last) <= 1 || tensor.stride(last) == 1 ? tensor
                                                            : torch::stable::contiguous(tensor);
}

}  // namespace sdv_wgangp
