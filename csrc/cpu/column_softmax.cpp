// Softmax, its backward, and exact sampling over the ragged blocks of a row, on the CPU.
//
// Convention: a row holds the logits of all columns one after the other, column c at
// [offsets[c], offsets[c + 1]). Threads share the rows; within a row every pass over the elements
// is vector code. Element-wise passes (the exponential above all) run over the whole row, so that
// many narrow columns cost no more than a wide one.
#include <torch/csrc/stable/library.h>

#include <optional>
#include <tuple>
#include <vector>

#include "../checks.h"
#include "../formulas.h"
#include "softmax_block.h"

namespace sdv_wgangp {
namespace {

// The lowest index at which x equals `value`; 0 where none does (a block of NaN).
template <class T>
SDV_INLINE int64_t first_equal(const T* x, int32_t n, T value) {
  int32_t first = n;
  for (int32_t i = 0; i < n; ++i) {
    const int32_t candidate = x[i] == value ? i : n;
    first = candidate < first ? candidate : first;
  }
  return first < n ? first : 0;
}

template <class T>
SDV_INLINE void softmax_rows(const T* logits, int64_t logits_stride, const T* noise,
                             int64_t noise_stride, const int64_t* offsets, int64_t columns,
                             T scale, int64_t begin, int64_t end, T* soft, int64_t* codes) {
  const int64_t width = offsets[columns];
  for (int64_t row = begin; row < end; ++row) {
    const T* l = logits + row * logits_stride;
    const T* g = noise + row * noise_stride;
    T* s = soft + row * width;
    int64_t* code = codes + row * columns;
    for (int64_t i = 0; i < width; ++i) s[i] = l[i] + g[i];
    for (int64_t c = 0; c < columns; ++c) {
      T* block = s + offsets[c];
      const int64_t n = offsets[c + 1] - offsets[c];
      const T maximum = block_maximum(block, n);
      code[c] = first_equal(block, static_cast<int32_t>(n), maximum);
      for (int64_t i = 0; i < n; ++i) block[i] = (block[i] - maximum) * scale;
    }
    for (int64_t i = 0; i < width; ++i) s[i] = softmax_weight(s[i]);
    for (int64_t c = 0; c < columns; ++c) {
      T* block = s + offsets[c];
      const int64_t n = offsets[c + 1] - offsets[c];
      const T inverse = 1 / block_sum<T>(block, n);
      for (int64_t i = 0; i < n; ++i) block[i] *= inverse;
    }
  }
}

template <class T>
SDV_INLINE void softmax_backward_rows(const T* grad, int64_t grad_stride, const T* soft,
                                      int64_t soft_stride, const int64_t* offsets, int64_t columns,
                                      T scale, int64_t begin, int64_t end, T* result) {
  const int64_t width = offsets[columns];
  for (int64_t row = begin; row < end; ++row) {
    const T* g = grad + row * grad_stride;
    const T* p = soft + row * soft_stride;
    T* out = result + row * width;
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t start = offsets[c];
      const int64_t n = offsets[c + 1] - start;
      const T inner = block_inner(g + start, p + start, n);
      for (int64_t i = start; i < start + n; ++i)
        out[i] = softmax_gradient(g[i], p[i], inner, scale);
    }
  }
}

// Inverse CDF, one uniform per row and column. `weights` is scratch for one row. Returns the
// first (row, column) that has no distribution, as row * columns + column, or -1.
template <class T, class L>
SDV_INLINE int64_t sample_rows(const L* logits, int64_t logits_stride, const T* bias,
                               const T* uniforms, int64_t uniforms_stride, const int64_t* offsets,
                               int64_t columns, int64_t begin, int64_t end, T* weights,
                               int64_t* codes) {
  // Within a block the target is first looked for among sums over runs of this many elements.
  constexpr int64_t run = 64;
  const int64_t width = offsets[columns];
  for (int64_t row = begin; row < end; ++row) {
    const L* l = logits + row * logits_stride;
    const T* u = uniforms + row * uniforms_stride;
    int64_t* code = codes + row * columns;
    if (bias)
      for (int64_t i = 0; i < width; ++i) weights[i] = widen(l[i]) + bias[i];
    else
      for (int64_t i = 0; i < width; ++i) weights[i] = widen(l[i]);
    for (int64_t c = 0; c < columns; ++c) {
      T* w = weights + offsets[c];
      const int64_t n = offsets[c + 1] - offsets[c];
      const T maximum = block_maximum(w, n);
      for (int64_t i = 0; i < n; ++i) w[i] -= maximum;
    }
    for (int64_t i = 0; i < width; ++i) weights[i] = exponential(weights[i]);
    for (int64_t c = 0; c < columns; ++c) {
      const T* w = weights + offsets[c];
      const int64_t n = offsets[c + 1] - offsets[c];
      // Sums are in double: over 100,000 levels float would lose the rare ones.
      double total = 0;
      for (int64_t i = 0; i < n; i += run)
        total += block_sum<double>(w + i, n - i < run ? n - i : run);
      if (!(total > 0) || total > std::numeric_limits<double>::max()) return row * columns + c;
      const double target = static_cast<double>(u[c]) * total;
      // The run that crosses the target; the last one with any mass if rounding (or a uniform of
      // 1) leaves none.
      double before = 0;
      int64_t chosen = 0;
      if (n > run) {
        double sum = 0;
        for (int64_t i = 0; i < n; i += run) {
          const double mass = block_sum<double>(w + i, n - i < run ? n - i : run);
          if (mass > 0) {
            chosen = i;
            before = sum;
            if (sum + mass > target) break;
          }
          sum += mass;
        }
      }
      // The same inside the run. Only levels with mass are ever chosen.
      const int64_t stop = n - chosen < run ? n : chosen + run;
      int64_t level = chosen;
      for (int64_t i = chosen; i < stop; ++i) {
        if (w[i] > 0) {
          level = i;
          before += w[i];
          if (before > target) break;
        }
      }
      code[c] = level;
    }
  }
  return -1;
}

// One copy per instruction set and type; the templates above are inlined into each.
#define SDV_INSTANTIATE(T, SUFFIX)                                                               \
  SDV_CLONES void softmax_rows_##SUFFIX(const T* logits, int64_t logits_stride, const T* noise,  \
                                        int64_t noise_stride, const int64_t* offsets,            \
                                        int64_t columns, T scale, int64_t begin, int64_t end,    \
                                        T* soft, int64_t* codes) {                               \
    softmax_rows<T>(logits, logits_stride, noise, noise_stride, offsets, columns, scale, begin,  \
                    end, soft, codes);                                                           \
  }                                                                                              \
  SDV_CLONES void softmax_backward_rows_##SUFFIX(                                                \
      const T* grad, int64_t grad_stride, const T* soft, int64_t soft_stride,                    \
      const int64_t* offsets, int64_t columns, T scale, int64_t begin, int64_t end, T* result) { \
    softmax_backward_rows<T>(grad, grad_stride, soft, soft_stride, offsets, columns, scale,      \
                             begin, end, result);                                                \
  }

SDV_INSTANTIATE(float, float)
SDV_INSTANTIATE(double, double)

#define SDV_INSTANTIATE_SAMPLE(T, L, SUFFIX)                                                      \
  SDV_CLONES int64_t sample_rows_##SUFFIX(const L* logits, int64_t logits_stride, const T* bias,  \
                                          const T* uniforms, int64_t uniforms_stride,             \
                                          const int64_t* offsets, int64_t columns, int64_t begin, \
                                          int64_t end, T* weights, int64_t* codes) {              \
    return sample_rows<T, L>(logits, logits_stride, bias, uniforms, uniforms_stride, offsets,     \
                             columns, begin, end, weights, codes);                                \
  }

SDV_INSTANTIATE_SAMPLE(float, float, float)
SDV_INSTANTIATE_SAMPLE(float, bfloat16, bfloat16)
SDV_INSTANTIATE_SAMPLE(double, double, double)

template <class T>
struct Kernels;
template <>
struct Kernels<float> {
  static constexpr auto softmax = softmax_rows_float;
  static constexpr auto softmax_backward = softmax_backward_rows_float;
};
template <>
struct Kernels<double> {
  static constexpr auto softmax = softmax_rows_double;
  static constexpr auto softmax_backward = softmax_backward_rows_double;
};

template <class L>
constexpr auto sample_kernel = sample_rows_float;
template <>
constexpr auto sample_kernel<bfloat16> = sample_rows_bfloat16;
template <>
constexpr auto sample_kernel<double> = sample_rows_double;

template <class T>
void run_softmax(const Tensor& logits, const Tensor& noise, const Tensor& offsets,
                 double temperature, Tensor& soft, Tensor& codes) {
  const Rows<T> l(logits), g(noise);
  const int64_t* at = offsets.const_data_ptr<int64_t>();
  const int64_t columns = offsets.size(0) - 1;
  const T scale = inverse_temperature(temperature, std::numeric_limits<T>::max());
  T* p = soft.mutable_data_ptr<T>();
  int64_t* code = codes.mutable_data_ptr<int64_t>();
  torch::stable::parallel_for(0, logits.size(0), rows_per_thread(logits.size(1)),
                              [&](int64_t begin, int64_t end) {
                                Kernels<T>::softmax(l.data, l.stride, g.data, g.stride, at,
                                                    columns, scale, begin, end, p, code);
                              });
}

std::tuple<Tensor, Tensor> column_softmax(Tensor logits, Tensor noise, Tensor offsets,
                                          double temperature) {
  const char* op = "column_softmax";
  check_matrix(op, "logits", logits);
  check_like(op, "logits", logits, "noise", noise, logits.size(0), logits.size(1));
  check_temperature(op, temperature);
  check_offsets_shape(op, offsets, logits);
  const Tensor at = checked_offsets(op, offsets, logits.size(1));
  Tensor soft = torch::stable::new_empty(logits, {logits.size(0), logits.size(1)});
  Tensor codes =
      torch::stable::new_empty(logits, {logits.size(0), at.size(0) - 1}, ScalarType::Long);
  if (logits.scalar_type() == ScalarType::Float)
    run_softmax<float>(logits, noise, at, temperature, soft, codes);
  else
    run_softmax<double>(logits, noise, at, temperature, soft, codes);
  return {soft, codes};
}

template <class T>
void run_softmax_backward(const Tensor& grad, const Tensor& soft, const Tensor& offsets,
                          double temperature, Tensor& result) {
  const Rows<T> g(grad), p(soft);
  const int64_t* at = offsets.const_data_ptr<int64_t>();
  const int64_t columns = offsets.size(0) - 1;
  const T scale = inverse_temperature(temperature, std::numeric_limits<T>::max());
  T* out = result.mutable_data_ptr<T>();
  torch::stable::parallel_for(0, soft.size(0), rows_per_thread(soft.size(1)),
                              [&](int64_t begin, int64_t end) {
                                Kernels<T>::softmax_backward(g.data, g.stride, p.data, p.stride,
                                                             at, columns, scale, begin, end, out);
                              });
}

Tensor column_softmax_backward(Tensor grad_soft, Tensor soft, Tensor offsets, double temperature) {
  const char* op = "column_softmax_backward";
  check_matrix(op, "soft", soft);
  check_like(op, "soft", soft, "grad_soft", grad_soft, soft.size(0), soft.size(1));
  check_temperature(op, temperature);
  check_offsets_shape(op, offsets, soft);
  const Tensor at = checked_offsets(op, offsets, soft.size(1));
  Tensor result = torch::stable::new_empty(soft, {soft.size(0), soft.size(1)});
  if (soft.scalar_type() == ScalarType::Float)
    run_softmax_backward<float>(grad_soft, soft, at, temperature, result);
  else
    run_softmax_backward<double>(grad_soft, soft, at, temperature, result);
  return result;
}

template <class T, class L>
void run_sample(const Tensor& logits, const T* bias, const Tensor& uniforms, const Tensor& offsets,
                Tensor& codes, FirstFault& fault) {
  const Rows<L> l(logits);
  const Rows<T> u(uniforms);
  const int64_t* at = offsets.const_data_ptr<int64_t>();
  const int64_t columns = offsets.size(0) - 1;
  int64_t* code = codes.mutable_data_ptr<int64_t>();
  torch::stable::parallel_for(
      0, logits.size(0), rows_per_thread(logits.size(1)), [&](int64_t begin, int64_t end) {
        std::vector<T> weights(logits.size(1));
        fault.note(sample_kernel<L>(l.data, l.stride, bias, u.data, u.stride, at, columns, begin,
                                    end, weights.data(), code));
      });
}

Tensor column_sample(Tensor logits, Tensor uniforms, Tensor offsets, std::optional<Tensor> bias) {
  const char* op = "column_sample";
  const int64_t columns = check_sample(logits, uniforms, offsets, bias);
  const Tensor at = checked_offsets(op, offsets, logits.size(1));
  Tensor codes = torch::stable::new_empty(logits, {logits.size(0), columns}, ScalarType::Long);
  std::optional<Tensor> held;
  if (bias) held = torch::stable::contiguous(*bias);
  FirstFault fault;
  with_types_of(uniforms, logits, [&](auto sum, auto operand) {
    using T = decltype(sum);
    using L = decltype(operand);
    run_sample<T, L>(logits, held ? held->const_data_ptr<T>() : nullptr, uniforms, at, codes,
                     fault);
  });
  if (fault.found())
    fail(op, ": logits of row ", fault.place() / columns, ", column ", fault.place() % columns,
         " are no distribution (NaN, +inf, or all -inf)");
  return codes;
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("column_softmax", TORCH_BOX(&sdv_wgangp::column_softmax));
  m.impl("column_softmax_backward", TORCH_BOX(&sdv_wgangp::column_softmax_backward));
  m.impl("column_sample", TORCH_BOX(&sdv_wgangp::column_sample));
}
