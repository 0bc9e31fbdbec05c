// Interpolates between real and fake rows, and norms, penalty and direction of a critic's
// gradients, on the CPU. Rows have any shape (penalty.h); threads share them.
//
// A row's norm is summed in double. The backward finds it anew while the row is in the cache: that
// is cheap, and the direction rests on no rounded norm.
#include <torch/csrc/stable/library.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "../penalty.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kRun = 4096;  // elements that are added up at a time

template <class T>
SDV_INLINE double sum_of_squares(const T* g, int64_t n, double scale) {
  double sum = 0;
  int64_t i = 0;
  if (n >= kLanes) {
    double lanes[kLanes] = {};
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) {
        const double x = scale * static_cast<double>(g[i + k]);
        lanes[k] += x * x;
      }
    // By halves: one lane after the other would take as long as a row of a table.
    for (int half = kLanes / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
    sum = lanes[0];
  }
  for (; i < n; ++i) {
    const double x = scale * static_cast<double>(g[i]);
    sum += x * x;
  }
  return sum;
}

// Run by run, so that the sums of long rows keep their last digits.
template <class T>
SDV_INLINE double sum_of_runs(const T* g, int64_t n, double scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += kRun)
    sum += sum_of_squares(g + i, n - i < kRun ? n - i : kRun, scale);
  return sum;
}

template <class T>
SDV_INLINE double row_norm(const T* g, int64_t n) {
  const double squared = sum_of_runs(g, n, 1.0);
  const double scale = norm_scale(squared, T());
  if (scale == 1) return gradient_norm(squared);
  return gradient_norm(sum_of_runs(g, n, scale)) / scale;
}

template <class T>
SDV_INLINE void norm_rows(const T* gradient, int64_t stride, int64_t width, Penalty kind,
                          int64_t begin, int64_t end, T* norms, double* terms) {
  for (int64_t row = begin; row < end; ++row) {
    const double norm = row_norm(gradient + row * stride, width);
    norms[row] = static_cast<T>(norm);
    terms[row] = penalty_term(kind, norm);
  }
}

template <class T>
SDV_INLINE void direction_rows(const T* gradient, int64_t stride, int64_t width, Penalty kind,
                               double to_penalty, const T* to_norms, int64_t begin, int64_t end,
                               T* result, int64_t result_stride) {
  for (int64_t row = begin; row < end; ++row) {
    const T* g = gradient + row * stride;
    T* out = result + row * result_stride;
    const double to_norm = to_norms ? static_cast<double>(to_norms[row]) : 0.0;
    const double factor = direction_factor(kind, row_norm(g, width), to_penalty, to_norm);
    for (int64_t i = 0; i < width; ++i)
      out[i] = static_cast<T>(factor * static_cast<double>(g[i]));
  }
}

template <class T>
SDV_INLINE void interpolate_rows(const T* real, int64_t real_stride, const T* fake,
                                 int64_t fake_stride, const T* share, int64_t share_stride,
                                 int64_t width, int64_t begin, int64_t end, T* result,
                                 int64_t result_stride) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = real + row * real_stride;
    const T* y = fake + row * fake_stride;
    T* out = result + row * result_stride;
    const T a = share[row * share_stride];
    for (int64_t i = 0; i < width; ++i) out[i] = interpolate(x[i], y[i], a);
  }
}

// One copy per instruction set and type; the templates above are inlined into each.
#define SDV_INSTANTIATE(T, SUFFIX)                                                               \
  SDV_CLONES void norm_rows_##SUFFIX(const T* gradient, int64_t stride, int64_t width,           \
                                     Penalty kind, int64_t begin, int64_t end, T* norms,         \
                                     double* terms) {                                            \
    norm_rows<T>(gradient, stride, width, kind, begin, end, norms, terms);                       \
  }                                                                                              \
  SDV_CLONES void direction_rows_##SUFFIX(                                                       \
      const T* gradient, int64_t stride, int64_t width, Penalty kind, double to_penalty,         \
      const T* to_norms, int64_t begin, int64_t end, T* result, int64_t result_stride) {         \
    direction_rows<T>(gradient, stride, width, kind, to_penalty, to_norms, begin, end, result,   \
                      result_stride);                                                            \
  }                                                                                              \
  SDV_CLONES void interpolate_rows_##SUFFIX(const T* real, int64_t real_stride, const T* fake,   \
                                            int64_t fake_stride, const T* share,                 \
                                            int64_t share_stride, int64_t width, int64_t begin,  \
                                            int64_t end, T* result, int64_t result_stride) {     \
    interpolate_rows<T>(real, real_stride, fake, fake_stride, share, share_stride, width, begin, \
                        end, result, result_stride);                                             \
  }

SDV_INSTANTIATE(float, float)
SDV_INSTANTIATE(double, double)

template <class T>
struct Kernels;
template <>
struct Kernels<float> {
  static constexpr auto norm = norm_rows_float;
  static constexpr auto direction = direction_rows_float;
  static constexpr auto interpolate = interpolate_rows_float;
};
template <>
struct Kernels<double> {
  static constexpr auto norm = norm_rows_double;
  static constexpr auto direction = direction_rows_double;
  static constexpr auto interpolate = interpolate_rows_double;
};

template <class T>
void run_norm_penalty(const Tensor& gradient, double weight, Penalty kind, Tensor& penalty,
                      Tensor& norms) {
  const Pieces<T> g(gradient);
  const int64_t rows = gradient.size(0), width = width_of(gradient);
  T* n = norms.mutable_data_ptr<T>();
  std::vector<double> terms(rows);
  torch::stable::parallel_for(0, rows, rows_per_thread(width), [&](int64_t begin, int64_t end) {
    Kernels<T>::norm(g.data, g.stride, width, kind, begin, end, n, terms.data());
  });
  // In the order of the rows, so that the number of threads does not change a bit.
  double sum = 0;
  for (double term : terms) sum += term;
  *penalty.mutable_data_ptr<T>() = static_cast<T>(weight / static_cast<double>(rows) * sum);
}

std::tuple<Tensor, Tensor> gradient_norm_penalty(Tensor gradient, double weight,
                                                 std::string kind) {
  const Penalty penalty_kind = check_norm_penalty("gradient_norm_penalty", gradient, weight, kind);
  Tensor penalty = torch::stable::new_empty(gradient, {});
  Tensor norms = torch::stable::new_empty(gradient, {gradient.size(0)});
  if (gradient.scalar_type() == ScalarType::Float)
    run_norm_penalty<float>(gradient, weight, penalty_kind, penalty, norms);
  else
    run_norm_penalty<double>(gradient, weight, penalty_kind, penalty, norms);
  return {penalty, norms};
}

template <class T>
Tensor run_norm_penalty_backward(const Tensor& grad_penalty,
                                 const std::optional<Tensor>& grad_norms, const Tensor& gradient,
                                 double weight, Penalty kind) {
  RowwiseResult to(gradient, {gradient});
  const Pieces<T> g(gradient, to.in_place);
  const int64_t rows = gradient.size(0), width = width_of(gradient);
  if (width == 0) return to.take();
  const double to_penalty =
      weight / static_cast<double>(rows) * static_cast<double>(*grad_penalty.const_data_ptr<T>());
  // Gradients are often expanded.
  std::optional<Tensor> held;
  if (grad_norms) held = torch::stable::contiguous(*grad_norms);
  const T* to_norms = held ? held->const_data_ptr<T>() : nullptr;
  T* out = to.written.mutable_data_ptr<T>();
  const int64_t out_stride = to.written.stride(0);
  torch::stable::parallel_for(0, rows, rows_per_thread(width), [&](int64_t begin, int64_t end) {
    Kernels<T>::direction(g.data, g.stride, width, kind, to_penalty, to_norms, begin, end, out,
                          out_stride);
  });
  return to.take();
}

Tensor gradient_norm_penalty_backward(Tensor grad_penalty, std::optional<Tensor> grad_norms,
                                      Tensor gradient, double weight, std::string kind) {
  const Penalty penalty_kind = check_norm_penalty_backward(
      "gradient_norm_penalty_backward", grad_penalty, grad_norms, gradient, weight, kind);
  return gradient.scalar_type() == ScalarType::Float
             ? run_norm_penalty_backward<float>(grad_penalty, grad_norms, gradient, weight,
                                                penalty_kind)
             : run_norm_penalty_backward<double>(grad_penalty, grad_norms, gradient, weight,
                                                 penalty_kind);
}

template <class T>
Tensor run_interpolate(const Tensor& real, const Tensor& fake, const Tensor& share) {
  RowwiseResult to(real, {real, fake});
  const Pieces<T> x(real, to.in_place), y(fake, to.in_place);
  const int64_t rows = real.size(0), width = width_of(real);
  if (rows * width == 0) return to.take();
  const T* a = share.const_data_ptr<T>();
  T* out = to.written.mutable_data_ptr<T>();
  const int64_t out_stride = to.written.stride(0);
  torch::stable::parallel_for(0, rows, rows_per_thread(width), [&](int64_t begin, int64_t end) {
    Kernels<T>::interpolate(x.data, x.stride, y.data, y.stride, a, share.stride(0), width, begin,
                            end, out, out_stride);
  });
  return to.take();
}

Tensor interpolate_tensors(Tensor real, Tensor fake, Tensor share) {
  check_interpolate("interpolate", real, fake, share);
  return real.scalar_type() == ScalarType::Float ? run_interpolate<float>(real, fake, share)
                                                 : run_interpolate<double>(real, fake, share);
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("interpolate", TORCH_BOX(&sdv_wgangp::interpolate_tensors));
  m.impl("gradient_norm_penalty", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty));
  m.impl("gradient_norm_penalty_backward", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty_backward));
}
