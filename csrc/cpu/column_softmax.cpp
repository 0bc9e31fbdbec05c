// Softmax, its backward, and exact sampling over the ragged blocks of a row, on the CPU.
//
// Threads share the rows; within a row every pass over the elements is vector code. Element-wise passes (the exponential above all) run over the whole row, so that
// many narrow columns cost no more than a wide one.
#include <torch/csrc/stable/library.h>

#include <vector>

#include "../column_softmax.h"
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

struct Cpu {
  explicit Cpu(const Tensor&) {}

  static Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
    return sdv_wgangp::checked_offsets(op, offsets, width);
  }

  template <class T>
  void softmax(const Softmax<T>& p) {
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width), [&](int64_t begin, int64_t end) {
          Kernels<T>::softmax(p.logits, p.logits_stride, p.noise, p.noise_stride, p.offsets,
                              p.columns, p.scale, begin, end, p.soft, p.codes);
        });
  }

  template <class T>
  void softmax_backward(const SoftmaxBackward<T>& p) {
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width), [&](int64_t begin, int64_t end) {
          Kernels<T>::softmax_backward(p.grad, p.grad_stride, p.soft, p.soft_stride, p.offsets,
                                       p.columns, p.scale, begin, end, p.result);
        });
  }

  template <class T, class L>
  void sample(const Sample<T, L>& p) {
    FirstFault fault;
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width), [&](int64_t begin, int64_t end) {
          std::vector<T> weights(p.width);
          fault.note(sample_kernel<L>(p.logits, p.logits_stride, p.bias, p.uniforms,
                                      p.uniforms_stride, p.offsets, p.columns, begin, end,
                                      weights.data(), p.codes));
        });
    if (fault.found())
      fail("column_sample: logits of row ", fault.place() / p.columns, ", column ",
           fault.place() % p.columns, " are no distribution (NaN, +inf, or all -inf)");
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("column_softmax", TORCH_BOX(&sdv_wgangp::column_softmax<sdv_wgangp::Cpu>));
  m.impl("column_softmax_backward",
         TORCH_BOX(&sdv_wgangp::column_softmax_backward<sdv_wgangp::Cpu>));
  m.impl("column_sample", TORCH_BOX(&sdv_wgangp::column_sample<sdv_wgangp::Cpu>));
}
