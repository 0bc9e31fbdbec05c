// Matrices [rows, columns] and batches of them [batch, rows, columns]: checks, and access without a copy where it can be.
#pragma once

#include <vector>

#include "checks.h"

namespace sdv_wgangp {

// The sizes of [rows, columns], a batch of one, or of [batch, rows, columns].
struct Sizes {
  explicit Sizes(const Tensor& tensor)
      : batch(tensor.dim() == 3 ? tensor.size(0) : 1),
        rows(tensor.size(tensor.dim() - 2)),
        columns(tensor.size(tensor.dim() - 1)) {}

  const int64_t batch, rows, columns;
};

inline void check_batch(const char* op, const char* name, const Tensor& tensor) {
  SDV_CHECK(tensor.dim() == 2 || tensor.dim() == 3, op, ": ", name,
            " must have two or three dimensions ([batch,] rows, columns), got shape ",
            shape(tensor));
  check_floating(op, name, tensor);
  // Positions inside a matrix are kept in 32 bits.
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  const Sizes sizes(tensor);
  SDV_CHECK(sizes.rows < limit && sizes.columns < limit, op, ": ", name,
            " is too large, got shape ", shape(tensor));
}

inline void check_square(const char* op, const char* name, const Tensor& tensor) {
  check_batch(op, name, tensor);
  const Sizes sizes(tensor);
  SDV_CHECK(sizes.rows == sizes.columns, op, ": ", name, " must hold square matrices, got shape ",
            shape(tensor));
}

// `sizes`, with the batch in front where `tensor` has one.
inline std::vector<int64_t> batched(const Tensor& tensor, std::vector<int64_t> sizes) {
  if (tensor.dim() == 3) sizes.insert(sizes.begin(), tensor.size(0));
  return sizes;
}

inline Tensor transposed(const Tensor& tensor) {
  return torch::stable::transpose(tensor, tensor.dim() - 2, tensor.dim() - 1);
}

// The matrices of a batch. Elements may lie at any strides (views, expanded arguments): nothing
// is copied.
template <class T>
struct Matrices {
  explicit Matrices(const Tensor& tensor)
      : data(tensor.const_data_ptr<T>()),
        batch_stride(tensor.dim() == 3 ? tensor.stride(0) : 0),
        row_stride(tensor.stride(tensor.dim() - 2)),
        column_stride(tensor.stride(tensor.dim() - 1)) {}

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
