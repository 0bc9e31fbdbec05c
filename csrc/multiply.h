// Arguments of the operator for products.
#pragma once

#include "checks.h"
#include "products.h"

namespace sdv_wgangp {

inline void check_multiply(const Tensor& a, const Tensor& b, const Tensor& out) {
  const char* op = "multiply";
  SDV_CHECK(a.dim() == 2, op, ": a must have two dimensions, got shape ", shape(a));
  SDV_CHECK(b.dim() == 2 && b.size(0) == a.size(1), op, ": b must have shape [", a.size(1),
            ", columns], got ", shape(b));
  check_shape(op, "out", out, {a.size(0), b.size(1)});
  const ScalarType type = a.scalar_type();
  SDV_CHECK(
      type == ScalarType::BFloat16 || type == ScalarType::Float || type == ScalarType::Double, op,
      ": a must be bfloat16, float32 or float64");
  check_same(op, "b", b, "a", a);
  check_same(op, "out", out, "a", a);
  check_written(op, "out", out);
}

// The matrix, copied if neither the elements of a row nor those of a column are adjacent.
inline Tensor with_lines(const Tensor& x) {
  const bool lines = x.stride(1) == 1 || x.stride(0) == 1;
  return lines ? x : torch::stable::contiguous(x);
}

template <class T>
Matrix<T> as_matrix(const Tensor& x) {
  return {static_cast<T*>(x.mutable_data_ptr()), x.size(0), x.size(1), x.stride(0), x.stride(1)};
}

}  // namespace sdv_wgangp
