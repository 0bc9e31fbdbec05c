// The generator's operators over the device: arguments, results, types, and the formulas.
//
// A device has one function for each of the structures below, and checks the values of offsets
// where they are (checked_offsets).
#pragma once

#include <tuple>
#include <vector>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

inline void check_batch(const char* op, const char* name, const Tensor& tensor,
                        const Tensor& weight) {
  SDV_CHECK(tensor.dim() == 2, op, ": ", name,
            " must have two dimensions (rows, width), got shape ", shape(tensor));
  SDV_CHECK(tensor.size(0) > 0, op, ": ", name, " has no rows, got shape ", shape(tensor));
  check_floating(op, "weight", weight);
  check_operand(op, name, tensor, "weight", weight);
}

inline void check_parameter(const char* op, const char* name, const Tensor& tensor,
                            const Tensor& weight) {
  check_shape(op, name, tensor, {weight.size(0)});
  check_same(op, name, tensor, "weight", weight);
}

inline void check_norm_relu(const Tensor& product, const Tensor& weight, const Tensor& bias,
                            double epsilon, const Tensor& out) {
  const char* op = "norm_relu";
  check_batch(op, "product", product, weight);
  check_shape(op, "weight", weight, {product.size(1)});
  check_parameter(op, "bias", bias, weight);
  SDV_CHECK(epsilon > 0, op, ": epsilon must be positive, got ", epsilon);
  check_shape(op, "out", out, {product.size(0), product.size(1)});
  check_same(op, "out", out, "product", product);
  check_written(op, "product", product);
  check_written(op, "out", out);
}

inline void check_norm_relu_backward(const Tensor& gradient, const Tensor& normal,
                                     const Tensor& weight, const Tensor& bias,
                                     const Tensor& inverse, const Tensor& weight_gradient,
                                     const Tensor& bias_gradient) {
  const char* op = "norm_relu_backward";
  check_batch(op, "normal", normal, weight);
  check_shape(op, "gradient", gradient, {normal.size(0), normal.size(1)});
  check_same(op, "gradient", gradient, "normal", normal);
  check_shape(op, "weight", weight, {normal.size(1)});
  check_parameter(op, "bias", bias, weight);
  check_parameter(op, "inverse", inverse, weight);
  check_parameter(op, "weight_gradient", weight_gradient, weight);
  check_parameter(op, "bias_gradient", bias_gradient, weight);
  check_written(op, "normal", normal);
  SDV_CHECK(weight_gradient.is_contiguous(), op,
            ": weight_gradient is written to, so it must be contiguous");
  SDV_CHECK(bias_gradient.is_contiguous(), op,
            ": bias_gradient is written to, so it must be contiguous");
}

// Returns the number of columns.
inline int64_t check_code_gradient(const char* op, const Tensor& gradient, const Tensor& logits,
                                   const Tensor& bias, const Tensor& levels, const Tensor& offsets,
                                   const Tensor& slopes, const Tensor& tables) {
  SDV_CHECK(bias.dim() == 1, op, ": bias must have one dimension, got shape ", shape(bias));
  check_floating(op, "bias", bias);
  const int64_t width = bias.size(0);
  SDV_CHECK(logits.dim() == 2 && logits.size(1) == width, op, ": logits must have shape [rows, ",
            width, "], got ", shape(logits));
  check_operand(op, "logits", logits, "bias", bias);
  const int64_t rows = logits.size(0);
  check_shape(op, "gradient", gradient, {rows, width});
  check_same(op, "gradient", gradient, "logits", logits);
  check_written(op, "gradient", gradient);
  const int64_t columns = check_offsets_shape(op, offsets, bias);
  check_shape(op, "levels", levels, {rows, columns});
  SDV_CHECK(levels.scalar_type() == ScalarType::Long, op, ": levels must be int64");
  SDV_CHECK(levels.device() == bias.device(), op, ": levels must be on the device of bias");
  SDV_CHECK(tables.dim() == 2 && tables.size(1) == width, op, ": tables must have shape [tables, ",
            width, "], got ", shape(tables));
  check_shape(op, "slopes", slopes, {tables.size(0), rows, columns});
  check_same(op, "tables", tables, "bias", bias);
  check_same(op, "slopes", slopes, "bias", bias);
  return columns;
}

// Returns the number of positions.
inline int64_t check_position_head(const Tensor& features, const Tensor& weight,
                                   const Tensor& bias, const Tensor& jitter, double low,
                                   double high) {
  const char* op = "position_head";
  SDV_CHECK(weight.dim() == 2 && weight.size(0) % 2 == 0, op,
            ": weight must have shape [2 positions, features], got ", shape(weight));
  check_floating(op, "weight", weight);
  const int64_t count = weight.size(0) / 2;
  SDV_CHECK(features.dim() == 2 && features.size(1) == weight.size(1), op,
            ": features must have shape [rows, ", weight.size(1), "], got ", shape(features));
  check_operand(op, "features", features, "weight", weight);
  check_shape(op, "bias", bias, {2 * count});
  check_shape(op, "jitter", jitter, {features.size(0), count});
  check_same(op, "bias", bias, "weight", weight);
  check_same(op, "jitter", jitter, "weight", weight);
  SDV_CHECK(low <= high, op, ": low must not be above high, got ", low, " and ", high);
  return count;
}

// Score of a position and its derivative along the log scale, of which only [low, high] counts.
template <class S>
SDV_INLINE S position_score(S mean, S log_scale, S jitter, S low, S high, S& stretch) {
  const S above = log_scale < low ? low : log_scale;
  const S within = above > high ? high : above;
  const S spread = exponential(within) * jitter;
  stretch = log_scale >= low && log_scale <= high ? spread : S(0);
  return mean + spread;
}

template <class T>
T* elements(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

// Batch normalisation: z becomes n in place, out = max(0, weight n + bias).
template <class S, class T>
struct Norm {
  int64_t rows, width;
  T* z;
  int64_t stride;
  const S *weight, *bias;
  S epsilon;
  T* out;
  int64_t out_stride;
  S* inverse;
};

// The same backwards: n becomes the gradient at z in place.
template <class S, class T>
struct NormBackward {
  int64_t rows, width;
  const T* gradient;
  int64_t gradient_stride;
  T* normal;
  int64_t stride;
  const S *weight, *bias, *inverse;
  S *weight_gradient, *bias_gradient;
};

// The gradient at codes becomes the one at logits in place; `sums` are its sums over rows.
template <class S, class T>
struct CodeGradient {
  T* gradient;
  int64_t gradient_stride;
  const T* logits;
  int64_t logits_stride;
  const S* bias;
  const int64_t* levels;
  const int64_t* offsets;
  int64_t rows, columns, width, count;  // `count` tables
  const S *slopes, *tables;             // [count, rows, columns], [count, width]
  S* sums;
};

// Scores of positions, and their derivatives along the log scales.
template <class S, class T>
struct PositionHead {
  int64_t rows, count, width;  // `count` positions, `width` features
  const T* features;
  int64_t stride;
  const S *weight, *bias, *jitter;
  S low, high;
  S *scores, *stretches;
};

template <class Device>
Tensor norm_relu(Tensor product, Tensor weight, Tensor bias, double epsilon, Tensor out) {
  check_norm_relu(product, weight, bias, epsilon, out);
  Device device(product);
  const int64_t rows = product.size(0), width = product.size(1);
  Tensor inverse = torch::stable::new_empty(weight, {width});
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias);
  with_types_of(weight, product, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    device.norm(Norm<S, T>{
        .rows = rows,
        .width = width,
        .z = elements<T>(product),
        .stride = product.stride(0),
        .weight = scale.const_data_ptr<S>(),
        .bias = shift.const_data_ptr<S>(),
        .epsilon = static_cast<S>(epsilon),
        .out = elements<T>(out),
        .out_stride = out.stride(0),
        .inverse = inverse.mutable_data_ptr<S>(),
    });
  });
  return inverse;
}

template <class Device>
void norm_relu_backward(Tensor gradient, Tensor normal, Tensor weight, Tensor bias, Tensor inverse,
                        Tensor weight_gradient, Tensor bias_gradient) {
  check_norm_relu_backward(gradient, normal, weight, bias, inverse, weight_gradient,
                           bias_gradient);
  Device device(normal);
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias),
               deviation = torch::stable::contiguous(inverse);
  with_types_of(weight, normal, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> g(gradient);
    device.norm_backward(NormBackward<S, T>{
        .rows = normal.size(0),
        .width = normal.size(1),
        .gradient = g.data,
        .gradient_stride = g.stride,
        .normal = elements<T>(normal),
        .stride = normal.stride(0),
        .weight = scale.const_data_ptr<S>(),
        .bias = shift.const_data_ptr<S>(),
        .inverse = deviation.const_data_ptr<S>(),
        .weight_gradient = weight_gradient.mutable_data_ptr<S>(),
        .bias_gradient = bias_gradient.mutable_data_ptr<S>(),
    });
  });
}

template <class Device>
Tensor code_gradient(Tensor gradient, Tensor logits, Tensor bias, Tensor levels, Tensor offsets,
                     Tensor slopes, Tensor tables) {
  const char* op = "code_gradient";
  const int64_t columns =
      check_code_gradient(op, gradient, logits, bias, levels, offsets, slopes, tables);
  Device device(bias);
  const int64_t rows = logits.size(0), width = bias.size(0);
  const Tensor at = device.checked_offsets(op, offsets, width);
  Tensor result = torch::stable::new_empty(bias, {width});
  const Tensor shift = torch::stable::contiguous(bias), cells = torch::stable::contiguous(levels),
               steep = torch::stable::contiguous(slopes),
               looked = torch::stable::contiguous(tables);
  with_types_of(bias, logits, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> from(logits);
    device.code_gradient(op, CodeGradient<S, T>{
                                 .gradient = elements<T>(gradient),
                                 .gradient_stride = gradient.stride(0),
                                 .logits = from.data,
                                 .logits_stride = from.stride,
                                 .bias = shift.const_data_ptr<S>(),
                                 .levels = cells.const_data_ptr<int64_t>(),
                                 .offsets = at.const_data_ptr<int64_t>(),
                                 .rows = rows,
                                 .columns = columns,
                                 .width = width,
                                 .count = tables.size(0),
                                 .slopes = steep.const_data_ptr<S>(),
                                 .tables = looked.const_data_ptr<S>(),
                                 .sums = result.mutable_data_ptr<S>(),
                             });
  });
  return result;
}

template <class Device>
std::tuple<Tensor, Tensor> position_head(Tensor features, Tensor weight, Tensor bias,
                                         Tensor jitter, double low, double high) {
  const int64_t count = check_position_head(features, weight, bias, jitter, low, high);
  Device device(features);
  const int64_t rows = features.size(0);
  Tensor scores = torch::stable::new_empty(jitter, {rows, count});
  Tensor stretches = torch::stable::new_empty(jitter, {rows, count});
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias),
               noise = torch::stable::contiguous(jitter);
  with_types_of(weight, features, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> x(features);
    device.position_head(PositionHead<S, T>{
        .rows = rows,
        .count = count,
        .width = features.size(1),
        .features = x.data,
        .stride = x.stride,
        .weight = scale.const_data_ptr<S>(),
        .bias = shift.const_data_ptr<S>(),
        .jitter = noise.const_data_ptr<S>(),
        .low = static_cast<S>(low),
        .high = static_cast<S>(high),
        .scores = scores.mutable_data_ptr<S>(),
        .stretches = stretches.mutable_data_ptr<S>(),
    });
  });
  return {scores, stretches};
}

}  // namespace sdv_wgangp
