// column_softmax, its backward and column_sample over the device: arguments, results, types.
//
// A row holds the logits of all columns one after the other, column c at
// [offsets[c], offsets[c + 1]). A device checks the values of the offsets where they are
// (checked_offsets) and has one function for each of the structures below.
#pragma once

#include <optional>
#include <tuple>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

// soft = softmax of (logits + noise) * scale, codes = the place of its largest.
template <class T>
struct Softmax {
  int64_t rows, columns, width;
  const int64_t* offsets;
  const T* logits;
  int64_t logits_stride;
  const T* noise;
  int64_t noise_stride;
  T scale;
  T* soft;
  int64_t* codes;
};

template <class T>
struct SoftmaxBackward {
  int64_t rows, columns, width;
  const int64_t* offsets;
  const T* grad;
  int64_t grad_stride;
  const T* soft;
  int64_t soft_stride;
  T scale;
  T* result;
};

template <class T, class L>
struct Sample {
  int64_t rows, columns, width;
  const int64_t* offsets;
  const L* logits;
  int64_t logits_stride;
  const T* bias;  // or null
  const T* uniforms;
  int64_t uniforms_stride;
  int64_t* codes;
};

// `other` must be like `tensor`. Returns the number of columns.
inline int64_t check_softmax(const char* op, const char* name, const Tensor& tensor,
                             const char* other_name, const Tensor& other, const Tensor& offsets,
                             double temperature) {
  check_matrix(op, name, tensor);
  check_like(op, name, tensor, other_name, other, sizes_of(tensor));
  SDV_CHECK(temperature > 0 && std::isfinite(temperature), op,
            ": temperature must be positive and finite, got ", temperature);
  return check_offsets_shape(op, offsets, tensor);
}

// Returns the number of columns.
inline int64_t check_sample(const char* op, const Tensor& logits, const Tensor& uniforms,
                            const Tensor& offsets, const std::optional<Tensor>& bias) {
  const bool narrow = logits.scalar_type() == ScalarType::BFloat16;
  check_matrix(op, narrow ? "uniforms" : "logits", narrow ? uniforms : logits);
  SDV_CHECK(logits.dim() == 2, op, ": logits must have two dimensions (rows, width), got shape ",
            shape(logits));
  if (narrow) check_operand(op, "logits", logits, "uniforms", uniforms);
  const int64_t columns = check_offsets_shape(op, offsets, logits);
  check_like(op, "logits", narrow ? uniforms : logits, "uniforms", uniforms,
             {logits.size(0), columns});
  if (bias) {
    check_shape(op, "bias", *bias, {logits.size(1)});
    SDV_CHECK(bias->scalar_type() == uniforms.scalar_type(), op,
              ": bias must have the same dtype as uniforms");
    SDV_CHECK(bias->device() == logits.device(), op, ": bias must be on the device of logits");
  }
  return columns;
}

template <class Device>
std::tuple<Tensor, Tensor> column_softmax(Tensor logits, Tensor noise, Tensor offsets,
                                          double temperature) {
  const char* op = "column_softmax";
  const int64_t columns =
      check_softmax(op, "logits", logits, "noise", noise, offsets, temperature);
  Device device(logits);
  const int64_t rows = logits.size(0), width = logits.size(1);
  const Tensor at = device.checked_offsets(op, offsets, width);
  Tensor soft = torch::stable::new_empty(logits, {rows, width});
  Tensor codes = torch::stable::new_empty(logits, {rows, columns}, ScalarType::Long);
  with_type_of(logits, [&](auto type) {
    using T = decltype(type);
    const Rows<T> l(logits), g(noise);
    device.softmax(Softmax<T>{
        .rows = rows,
        .columns = columns,
        .width = width,
        .offsets = at.const_data_ptr<int64_t>(),
        .logits = l.data,
        .logits_stride = l.stride,
        .noise = g.data,
        .noise_stride = g.stride,
        .scale = inverse_temperature(temperature, std::numeric_limits<T>::max()),
        .soft = soft.mutable_data_ptr<T>(),
        .codes = codes.mutable_data_ptr<int64_t>(),
    });
  });
  return {soft, codes};
}

template <class Device>
Tensor column_softmax_backward(Tensor grad_soft, Tensor soft, Tensor offsets, double temperature) {
  const char* op = "column_softmax_backward";
  const int64_t columns =
      check_softmax(op, "soft", soft, "grad_soft", grad_soft, offsets, temperature);
  Device device(soft);
  const int64_t rows = soft.size(0), width = soft.size(1);
  const Tensor at = device.checked_offsets(op, offsets, width);
  Tensor result = torch::stable::new_empty(soft, {rows, width});
  with_type_of(soft, [&](auto type) {
    using T = decltype(type);
    const Rows<T> g(grad_soft), p(soft);
    device.softmax_backward(SoftmaxBackward<T>{
        .rows = rows,
        .columns = columns,
        .width = width,
        .offsets = at.const_data_ptr<int64_t>(),
        .grad = g.data,
        .grad_stride = g.stride,
        .soft = p.data,
        .soft_stride = p.stride,
        .scale = inverse_temperature(temperature, std::numeric_limits<T>::max()),
        .result = result.mutable_data_ptr<T>(),
    });
  });
  return result;
}

template <class Device>
Tensor column_sample(Tensor logits, Tensor uniforms, Tensor offsets, std::optional<Tensor> bias) {
  const char* op = "column_sample";
  const int64_t columns = check_sample(op, logits, uniforms, offsets, bias);
  Device device(logits);
  const int64_t rows = logits.size(0), width = logits.size(1);
  const Tensor at = device.checked_offsets(op, offsets, width);
  Tensor codes = torch::stable::new_empty(logits, {rows, columns}, ScalarType::Long);
  std::optional<Tensor> shift;
  if (bias) shift = torch::stable::contiguous(*bias);
  with_types_of(uniforms, logits, [&](auto sum, auto operand) {
    using T = decltype(sum);
    using L = decltype(operand);
    const Rows<L> l(logits);
    const Rows<T> u(uniforms);
    device.sample(Sample<T, L>{
        .rows = rows,
        .columns = columns,
        .width = width,
        .offsets = at.const_data_ptr<int64_t>(),
        .logits = l.data,
        .logits_stride = l.stride,
        .bias = shift ? shift->const_data_ptr<T>() : nullptr,
        .uniforms = u.data,
        .uniforms_stride = u.stride,
        .codes = codes.mutable_data_ptr<int64_t>(),
    });
  });
  return codes;
}

}  // namespace sdv_wgangp
