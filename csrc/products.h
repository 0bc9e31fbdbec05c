// Matrices in memory, and their products by torch, which picks the fastest library it has.
//
// The library's C interface is called, not its dispatcher: no autograd, no look-up by name.
#pragma once

#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/device.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

// A matrix that somebody else owns: element (i, j) is at data[i * row_stride + j * column_stride].
template <class T>
struct Matrix {
  T* data;
  int64_t rows, columns, row_stride, column_stride;

  Matrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
  Matrix row_range(int64_t begin, int64_t end) const {
    return {data + begin * row_stride, end - begin, columns, row_stride, column_stride};
  }
  Matrix column_range(int64_t begin, int64_t end) const {
    return {data + begin * column_stride, rows, end - begin, row_stride, column_stride};
  }
  Tensor tensor(const torch::stable::Device& device) const {
    const int64_t sizes[2] = {rows, columns}, strides[2] = {row_stride, column_stride};
    return torch::stable::from_blob(const_cast<std::remove_const_t<T>*>(data), {sizes, 2},
                                    {strides, 2}, device, TypeOf<std::remove_const_t<T>>::value);
  }
};

template <class T>
Matrix<T> matrix(T* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, columns, 1};
}

template <class A, class B>
void check_product(bool done, const Matrix<A>& a, const Matrix<B>& b) {
  SDV_CHECK(done, "sdv_wgangp: torch refused the product of a [", a.rows, ", ", a.columns,
            "] and a [", b.rows, ", ", b.columns, "] matrix");
}

}  // namespace sdv_wgangp
