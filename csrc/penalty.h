// The general penalty's operators over the device: arguments, results, types, and how rows of any
// shape lie in memory.
//
// A row is all that follows the first dimension: the columns of a table, the steps and channels of
// a sequence, an image. What is done to it does not ask in which order its elements come, as long
// as the order is the same for all arguments; so rows that fill one piece of memory each (channels
// first or last) are worked on where they are, and anything else is copied before.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "batches.h"
#include "formulas.h"

namespace sdv_wgangp {

inline void check_rows_of_any_shape(const char* op, const char* name, const Tensor& tensor) {
  SDV_CHECK(tensor.dim() >= 2, op, ": ", name,
            " must have two dimensions or more (rows, ...), got shape ", shape(tensor));
  check_floating(op, name, tensor);
}

// Elements of a row.
inline int64_t width_of(const Tensor& tensor) {
  int64_t width = 1;
  for (int64_t axis = 1; axis < tensor.dim(); ++axis) width *= tensor.size(axis);
  return width;
}

inline Penalty check_norm_penalty(const char* op, const Tensor& gradient, double weight,
                                  const std::string& name) {
  check_rows_of_any_shape(op, "gradient", gradient);
  SDV_CHECK(gradient.size(0) > 0, op, ": gradient has no rows, got shape ", shape(gradient));
  SDV_CHECK(weight >= 0 && std::isfinite(weight), op,
            ": weight must be finite and not negative, got ", weight);
  constexpr std::pair<const char*, Penalty> kinds[] = {{"wgan-gp", Penalty::wgan_gp},
                                                       {"wgan-lp", Penalty::wgan_lp},
                                                       {"r1", Penalty::r1},
                                                       {"r2", Penalty::r2}};
  for (const auto& [known, kind] : kinds)
    if (name == known) return kind;
  fail(op, ": kind must be wgan-gp, wgan-lp, r1 or r2, got ", name);
}

inline Penalty check_norm_penalty_backward(const char* op, const Tensor& grad_penalty,
                                           const std::optional<Tensor>& grad_norms,
                                           const Tensor& gradient, double weight,
                                           const std::string& name) {
  const Penalty kind = check_norm_penalty(op, gradient, weight, name);
  check_like(op, "gradient", gradient, "grad_penalty", grad_penalty, {});
  if (grad_norms)
    check_like(op, "gradient", gradient, "grad_norms", *grad_norms, {gradient.size(0)});
  return kind;
}

inline void check_interpolate(const char* op, const Tensor& real, const Tensor& fake,
                              const Tensor& epsilon) {
  check_rows_of_any_shape(op, "real", real);
  check_like(op, "real", real, "fake", fake, sizes_of(real));
  check_like(op, "real", real, "epsilon", epsilon, {real.size(0), 1});
}

// Whether the elements of a row fill one piece of memory, in whatever order of dimensions.
inline bool rows_in_one_piece(const Tensor& tensor) {
  std::vector<std::pair<int64_t, int64_t>> inner;  // stride, size
  for (int64_t axis = 1; axis < tensor.dim(); ++axis)
    if (tensor.size(axis) != 1) inner.emplace_back(tensor.stride(axis), tensor.size(axis));
  std::sort(inner.begin(), inner.end());
  int64_t expected = 1;
  for (const auto& [stride, size] : inner) {
    if (stride != expected) return false;
    expected *= size;
  }
  return true;
}

inline bool same_order_within_rows(const Tensor& a, const Tensor& b) {
  for (int64_t axis = 1; axis < a.dim(); ++axis)
    if (a.size(axis) != 1 && a.stride(axis) != b.stride(axis)) return false;
  return true;
}

// Rows of an argument, each in one piece. `held` keeps a copy alive where one was needed.
template <class T>
struct Pieces {
  explicit Pieces(const Tensor& tensor, bool in_place)
      : held(in_place ? tensor : torch::stable::contiguous(tensor)),
        data(held.const_data_ptr<T>()),
        stride(width_of(held) > 0 ? held.stride(0) : 0) {}
  explicit Pieces(const Tensor& tensor) : Pieces(tensor, rows_in_one_piece(tensor)) {}

  const Tensor held;
  const T* const data;
  const int64_t stride;
};

// A result that lies in memory as its first argument does, by torch's rule for results element by
// element (torch.empty_like); its arguments have its shape. Where rows of the arguments and of the
// result do not lie alike, all are worked on as contiguous tensors.
struct RowwiseResult {
  RowwiseResult(const Tensor& like, const std::vector<Tensor>& arguments)
      : result(torch::stable::empty_like(like)), in_place(rows_in_one_piece(result)) {
    for (const Tensor& argument : arguments)
      in_place = in_place && same_order_within_rows(result, argument);
    if (in_place || result.is_contiguous())
      written = result;
    else
      written = torch::stable::new_empty(like, sizes_of(like));
  }

  // To be called when `written` has been.
  Tensor take() {
    if (written.get() != result.get()) torch::stable::copy_(result, written);
    return result;
  }

  Tensor result, written;
  bool in_place;
};

// Norms of rows, and of these norms the penalty, factor * sum of penalty_term.
template <class T>
struct NormPenalty {
  int64_t rows, width;
  const T* gradient;
  int64_t gradient_stride;
  Penalty kind;
  double factor;
  T *norms, *penalty;
};

// Each row of the gradient times its direction_factor.
template <class T>
struct Direction {
  int64_t rows, width;
  const T* gradient;
  int64_t gradient_stride;
  Penalty kind;
  double factor;
  const T *grad_penalty, *grad_norms;  // of the penalty, one number; of the norms, or null
  T* result;
  int64_t result_stride;
};

template <class T>
struct Interpolation {
  int64_t rows, width;
  const T* real;
  int64_t real_stride;
  const T* fake;
  int64_t fake_stride;
  const T* epsilon;
  int64_t epsilon_stride;
  T* result;
  int64_t result_stride;
};

template <class Device>
std::tuple<Tensor, Tensor> gradient_norm_penalty(Tensor gradient, double weight,
                                                 std::string kind) {
  const Penalty penalty_kind = check_norm_penalty("gradient_norm_penalty", gradient, weight, kind);
  Device device(gradient);
  const int64_t rows = gradient.size(0);
  Tensor penalty = torch::stable::new_empty(gradient, {});
  Tensor norms = torch::stable::new_empty(gradient, {rows});
  with_type_of(gradient, [&](auto type) {
    using T = decltype(type);
    const Pieces<T> g(gradient);
    device.norm_penalty(NormPenalty<T>{
        .rows = rows,
        .width = width_of(gradient),
        .gradient = g.data,
        .gradient_stride = g.stride,
        .kind = penalty_kind,
        .factor = weight / static_cast<double>(rows),
        .norms = norms.mutable_data_ptr<T>(),
        .penalty = penalty.mutable_data_ptr<T>(),
    });
  });
  return {penalty, norms};
}

template <class Device>
Tensor gradient_norm_penalty_backward(Tensor grad_penalty, std::optional<Tensor> grad_norms,
                                      Tensor gradient, double weight, std::string kind) {
  const Penalty penalty_kind = check_norm_penalty_backward(
      "gradient_norm_penalty_backward", grad_penalty, grad_norms, gradient, weight, kind);
  Device device(gradient);
  RowwiseResult to(gradient, {gradient});
  const int64_t rows = gradient.size(0), width = width_of(gradient);
  if (width == 0) return to.take();
  // Gradients are often expanded.
  std::optional<Tensor> held;
  if (grad_norms) held = torch::stable::contiguous(*grad_norms);
  with_type_of(gradient, [&](auto type) {
    using T = decltype(type);
    const Pieces<T> g(gradient, to.in_place);
    device.direction(Direction<T>{
        .rows = rows,
        .width = width,
        .gradient = g.data,
        .gradient_stride = g.stride,
        .kind = penalty_kind,
        .factor = weight / static_cast<double>(rows),
        .grad_penalty = grad_penalty.const_data_ptr<T>(),
        .grad_norms = held ? held->const_data_ptr<T>() : nullptr,
        .result = to.written.mutable_data_ptr<T>(),
        .result_stride = to.written.stride(0),
    });
  });
  return to.take();
}

// Not `interpolate`, which is the formula for one number.
template <class Device>
Tensor interpolate_rows(Tensor real, Tensor fake, Tensor epsilon) {
  check_interpolate("interpolate", real, fake, epsilon);
  Device device(real);
  RowwiseResult to(real, {real, fake});
  const int64_t rows = real.size(0), width = width_of(real);
  if (rows * width == 0) return to.take();
  with_type_of(real, [&](auto type) {
    using T = decltype(type);
    const Pieces<T> x(real, to.in_place), y(fake, to.in_place);
    device.interpolate(Interpolation<T>{
        .rows = rows,
        .width = width,
        .real = x.data,
        .real_stride = x.stride,
        .fake = y.data,
        .fake_stride = y.stride,
        .epsilon = epsilon.const_data_ptr<T>(),
        .epsilon_stride = epsilon.stride(0),
        .result = to.written.mutable_data_ptr<T>(),
        .result_stride = to.written.stride(0),
    });
  });
  return to.take();
}

}  // namespace sdv_wgangp
