// Arguments of the generator's operators: what both devices check, and the formulas they share.
#pragma once

#include <string>
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
inline int64_t check_code_gradient(const Tensor& gradient, const Tensor& logits,
                                   const Tensor& bias, const Tensor& levels, const Tensor& offsets,
                                   const Tensor& slopes, const Tensor& tables) {
  const char* op = "code_gradient";
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

}  // namespace sdv_wgangp
