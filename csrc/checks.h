// Argument checks: every error names the operator, the argument and what was found.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "formulas.h"

namespace sdv_wgangp {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

template <class T>
struct TypeOf;
template <>
struct TypeOf<float> {
  static constexpr ScalarType value = ScalarType::Float;
};
template <>
struct TypeOf<double> {
  static constexpr ScalarType value = ScalarType::Double;
};
template <>
struct TypeOf<bfloat16> {
  static constexpr ScalarType value = ScalarType::BFloat16;
};
template <>
struct TypeOf<bool> {
  static constexpr ScalarType value = ScalarType::Bool;
};

template <class... Parts>
[[noreturn]] inline void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

// A macro, so that the message is put together only when it is needed. torch's STD_TORCH_CHECK
// would put the source file's path, as it was on the machine that compiled it, before the message.
#define SDV_CHECK(condition, ...)                      \
  do {                                                 \
    if (!(condition)) ::sdv_wgangp::fail(__VA_ARGS__); \
  } while (0)

inline std::string shape(const Tensor& tensor) {
  std::ostringstream text;
  text << '[';
  for (int64_t i = 0; i < tensor.dim(); ++i) text << (i ? ", " : "") << tensor.size(i);
  text << ']';
  return text.str();
}

inline void check_floating(const char* op, const char* name, const Tensor& tensor) {
  const ScalarType type = tensor.scalar_type();
  SDV_CHECK(type == ScalarType::Float || type == ScalarType::Double, op, ": ", name,
            " must be float32 or float64");
}

inline void check_matrix(const char* op, const char* name, const Tensor& tensor) {
  SDV_CHECK(tensor.dim() == 2, op, ": ", name,
            " must have two dimensions (rows, width), got shape ", shape(tensor));
  check_floating(op, name, tensor);
  // Positions inside a row are kept in 32 bits.
  SDV_CHECK(tensor.size(1) < std::numeric_limits<int32_t>::max(), op, ": ", name,
            " is too wide, got shape ", shape(tensor));
}

// The parts of `offsets` that can be checked without reading its values. Returns the number of
// columns.
inline int64_t check_offsets_shape(const char* op, const Tensor& offsets, const Tensor& tensor) {
  SDV_CHECK(offsets.dim() == 1 && offsets.size(0) >= 1, op,
            ": offsets must have one dimension (columns + 1), got shape ", shape(offsets));
  SDV_CHECK(offsets.scalar_type() == ScalarType::Long, op, ": offsets must be int64");
  SDV_CHECK(offsets.device() == tensor.device(), op,
            ": offsets must be on the device of the logits");
  return offsets.size(0) - 1;
}

inline void check_shape(const char* op, const std::string& name, const Tensor& tensor,
                        const std::vector<int64_t>& expected) {
  bool same = tensor.dim() == static_cast<int64_t>(expected.size());
  for (size_t i = 0; same && i < expected.size(); ++i) same = tensor.size(i) == expected[i];
  if (same) return;
  std::ostringstream text;
  for (size_t i = 0; i < expected.size(); ++i) text << (i ? ", " : "") << expected[i];
  fail(op, ": ", name, " must have shape [", text.str(), "], got ", shape(tensor));
}

// `other` must have the given shape and be of the type and on the device of `tensor`.
inline void check_like(const char* op, const char* name, const Tensor& tensor,
                       const char* other_name, const Tensor& other,
                       const std::vector<int64_t>& sizes) {
  check_shape(op, other_name, other, sizes);
  SDV_CHECK(other.scalar_type() == tensor.scalar_type(), op, ": ", other_name,
            " must have the same dtype as ", name);
  SDV_CHECK(other.device() == tensor.device(), op, ": ", other_name, " must be on the device of ",
            name);
}

// Dtype and device.
inline void check_same(const char* op, const std::string& name, const Tensor& tensor,
                       const char* other, const Tensor& like) {
  SDV_CHECK(tensor.scalar_type() == like.scalar_type(), op, ": ", name, " must have the dtype of ",
            other);
  SDV_CHECK(tensor.device() == like.device(), op, ": ", name, " must be on the device of ", other);
}

// Checks that `tensor` has the type of sums, or bfloat16 where sums are in float32.
inline void check_operand(const char* op, const char* name, const Tensor& tensor,
                          const char* other, const Tensor& sums) {
  const bool narrow =
      tensor.scalar_type() == ScalarType::BFloat16 && sums.scalar_type() == ScalarType::Float;
  SDV_CHECK(narrow || tensor.scalar_type() == sums.scalar_type(), op, ": ", name,
            " must have the dtype of ", other, ", or bfloat16 where that is float32");
  SDV_CHECK(tensor.device() == sums.device(), op, ": ", name, " must be on the device of ", other);
}

// A matrix that is written to, row by row.
inline void check_written(const char* op, const char* name, const Tensor& tensor) {
  SDV_CHECK((tensor.size(1) <= 1 || tensor.stride(1) == 1) &&
                (tensor.size(0) <= 1 || tensor.stride(0) >= tensor.size(1)),
            op, ": ", name,
            " is written to, so the elements of a row must be adjacent and its rows apart");
}

inline std::vector<int64_t> sizes_of(const Tensor& tensor) {
  std::vector<int64_t> sizes;
  for (int64_t axis = 0; axis < tensor.dim(); ++axis) sizes.push_back(tensor.size(axis));
  return sizes;
}

// Runs `use` with the type of a tensor of floats.
template <class Use>
auto with_type_of(const Tensor& tensor, Use use) {
  return tensor.scalar_type() == ScalarType::Float ? use(float()) : use(double());
}

// The same with the types of sums and of operands.
template <class Use>
auto with_types_of(const Tensor& sums, const Tensor& operand, Use use) {
  if (sums.scalar_type() == ScalarType::Double) return use(double(), double());
  if (operand.scalar_type() == ScalarType::BFloat16) return use(float(), bfloat16());
  return use(float(), float());
}

// Rows of a matrix whose elements are adjacent within a row; the rows themselves may be anywhere
// (a slice of columns) or all the same (an expanded row). `held` keeps a temporary copy alive
// where one was needed: a pointer into an unnamed temporary would dangle.
template <class T>
struct Rows {
  explicit Rows(const Tensor& tensor)
      : held(tensor.stride(1) == 1 || tensor.size(1) <= 1 ? tensor
                                                          : torch::stable::contiguous(tensor)),
        data(static_cast<const T*>(held.const_data_ptr())),
        stride(held.stride(0)) {}

  const Tensor held;
  const T* const data;
  const int64_t stride;
};

}  // namespace sdv_wgangp
