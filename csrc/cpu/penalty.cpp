// Interpolates between real and fake rows, and norms, penalty and direction of a critic's
// gradients, on the CPU. Rows have any shape (penalty.h); threads share them.
//
// A row's norm is summed in double. The backward finds it anew while the row is in the cache: that
// is cheap, and the direction rests on no rounded norm.
#include <torch/csrc/stable/library.h>

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
SDV_INLINE void mix_rows(const T* real, int64_t real_stride, const T* fake, int64_t fake_stride,
                         const T* epsilon, int64_t epsilon_stride, int64_t width, int64_t begin,
                         int64_t end, T* result, int64_t result_stride) {
  for (int64_t row = begin; row < end; ++row) {
    const T* x = real + row * real_stride;
    const T* y = fake + row * fake_stride;
    T* out = result + row * result_stride;
    const T a = epsilon[row * epsilon_stride];
    for (int64_t i = 0; i < width; ++i) out[i] = interpolate(x[i], y[i], a);
  }
}

// One copy per instruction set and type; the templates above are inlined into each.
#define SDV_INSTANTIATE(T, SUFFIX)                                                                \
  SDV_CLONES void norm_rows_##SUFFIX(const T* gradient, int64_t stride, int64_t width,            \
                                     Penalty kind, int64_t begin, int64_t end, T* norms,          \
                                     double* terms) {                                             \
    norm_rows<T>(gradient, stride, width, kind, begin, end, norms, terms);                        \
  }                                                                                               \
  SDV_CLONES void direction_rows_##SUFFIX(                                                        \
      const T* gradient, int64_t stride, int64_t width, Penalty kind, double to_penalty,          \
      const T* to_norms, int64_t begin, int64_t end, T* result, int64_t result_stride) {          \
    direction_rows<T>(gradient, stride, width, kind, to_penalty, to_norms, begin, end, result,    \
                      result_stride);                                                             \
  }                                                                                               \
  SDV_CLONES void mix_rows_##SUFFIX(const T* real, int64_t real_stride, const T* fake,            \
                                    int64_t fake_stride, const T* epsilon,                        \
                                    int64_t epsilon_stride, int64_t width, int64_t begin,         \
                                    int64_t end, T* result, int64_t result_stride) {              \
    mix_rows<T>(real, real_stride, fake, fake_stride, epsilon, epsilon_stride, width, begin, end, \
                result, result_stride);                                                           \
  }

SDV_INSTANTIATE(float, float)
SDV_INSTANTIATE(double, double)

template <class T>
struct Kernels;
template <>
struct Kernels<float> {
  static constexpr auto norm = norm_rows_float;
  static constexpr auto direction = direction_rows_float;
  static constexpr auto interpolate = mix_rows_float;
};
template <>
struct Kernels<double> {
  static constexpr auto norm = norm_rows_double;
  static constexpr auto direction = direction_rows_double;
  static constexpr auto interpolate = mix_rows_double;
};

struct Cpu {
  explicit Cpu(const Tensor&) {}

  template <class T>
  void norm_penalty(const NormPenalty<T>& p) {
    std::vector<double> terms(p.rows);
    torch::stable::parallel_for(0, p.rows, rows_per_thread(p.width),
                                [&](int64_t begin, int64_t end) {
                                  Kernels<T>::norm(p.gradient, p.gradient_stride, p.width, p.kind,
                                                   begin, end, p.norms, terms.data());
                                });
    // In the order of the rows, so that the number of threads does not change a bit.
    double sum = 0;
    for (double term : terms) sum += term;
    *p.penalty = static_cast<T>(p.factor * sum);
  }

  template <class T>
  void direction(const Direction<T>& p) {
    const double to_penalty = p.factor * static_cast<double>(*p.grad_penalty);
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width), [&](int64_t begin, int64_t end) {
          Kernels<T>::direction(p.gradient, p.gradient_stride, p.width, p.kind, to_penalty,
                                p.grad_norms, begin, end, p.result, p.result_stride);
        });
  }

  template <class T>
  void interpolate(const Interpolation<T>& p) {
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width), [&](int64_t begin, int64_t end) {
          Kernels<T>::interpolate(p.real, p.real_stride, p.fake, p.fake_stride, p.epsilon,
                                  p.epsilon_stride, p.width, begin, end, p.result,
                                  p.result_stride);
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("interpolate", TORCH_BOX(&sdv_wgangp::interpolate_rows<sdv_wgangp::Cpu>));
  m.impl("gradient_norm_penalty", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty<sdv_wgangp::Cpu>));
  m.impl("gradient_norm_penalty_backward",
         TORCH_BOX(&sdv_wgangp::gradient_norm_penalty_backward<sdv_wgangp::Cpu>));
}
