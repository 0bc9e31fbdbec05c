// The passes of a generator's training step between its products, on the CPU.
//
// Batch normalisation sums over rows: threads share blocks of units, and each goes through all
// rows of its own, so no result depends on their number. Gradients at logits are made row by row;
// chunks of rows keep their sums over rows, which are added in the chunks' order.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

#include "../generator.h"
#include "softmax_block.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

// --- batch normalisation ------------------------------------------------------------------------

constexpr int64_t kUnits = 64;  // worked on together: one cache line of bfloat16 and more
constexpr int64_t kRun = 32;    // rows whose sums are made before they are added to the others
constexpr int64_t kRowsOfSums = 64;  // rows of a chunk in code_gradient

// What a thread does with units [begin, end): z becomes n in place, out = max(0, weight n + bias).
template <class S, class T>
SDV_INLINE void norm_units(T* z, int64_t stride, int64_t rows, const S* weight, const S* bias,
                           S epsilon, int64_t begin, int64_t end, T* out, int64_t out_stride,
                           S* inverse) {
  const int64_t n = end - begin;
  S mean[kUnits] = {}, variance[kUnits] = {}, part[kUnits];
  const S inverse_rows = S(1) / rows;
  for (int64_t i = 0; i < rows; i += kRun) {
    for (int64_t j = 0; j < n; ++j) part[j] = 0;
    for (int64_t k = i; k < std::min(i + kRun, rows); ++k) {
      const T* x = z + k * stride + begin;
      for (int64_t j = 0; j < n; ++j) part[j] += widen(x[j]);
    }
    for (int64_t j = 0; j < n; ++j) mean[j] += part[j];
  }
  for (int64_t j = 0; j < n; ++j) mean[j] *= inverse_rows;
  for (int64_t i = 0; i < rows; i += kRun) {
    for (int64_t j = 0; j < n; ++j) part[j] = 0;
    for (int64_t k = i; k < std::min(i + kRun, rows); ++k) {
      const T* x = z + k * stride + begin;
      for (int64_t j = 0; j < n; ++j) {
        const S d = widen(x[j]) - mean[j];
        part[j] += d * d;
      }
    }
    for (int64_t j = 0; j < n; ++j) variance[j] += part[j];
  }
  for (int64_t j = 0; j < n; ++j)
    inverse[begin + j] = 1 / std::sqrt(variance[j] * inverse_rows + epsilon);
  for (int64_t i = 0; i < rows; ++i) {
    T* __restrict x = z + i * stride + begin;
    T* __restrict y = out + i * out_stride + begin;
    for (int64_t j = 0; j < n; ++j) {
      T normal;
      narrow((widen(x[j]) - mean[j]) * inverse[begin + j], normal);
      const S activation = widen(normal) * weight[begin + j] + bias[begin + j];
      x[j] = normal;
      narrow(activation > 0 ? activation : S(0), y[j]);
    }
  }
}

// The same backwards: n becomes the gradient at z in place.
template <class S, class T>
SDV_INLINE void norm_units_backward(const T* gradient, int64_t gradient_stride, T* normal,
                                    int64_t stride, int64_t rows, const S* weight, const S* bias,
                                    const S* inverse, int64_t begin, int64_t end,
                                    S* weight_gradient, S* bias_gradient) {
  const int64_t n = end - begin;
  S along[kUnits] = {}, total[kUnits] = {}, along_part[kUnits], part[kUnits];
  for (int64_t i = 0; i < rows; i += kRun) {
    for (int64_t j = 0; j < n; ++j) along_part[j] = part[j] = 0;
    for (int64_t k = i; k < std::min(i + kRun, rows); ++k) {
      const T* g = gradient + k * gradient_stride + begin;
      const T* x = normal + k * stride + begin;
      for (int64_t j = 0; j < n; ++j) {
        const S value = widen(x[j]);
        const S y = value * weight[begin + j] + bias[begin + j] > 0 ? widen(g[j]) : S(0);
        part[j] += y;
        along_part[j] += y * value;
      }
    }
    for (int64_t j = 0; j < n; ++j) total[j] += part[j], along[j] += along_part[j];
  }
  const S inverse_rows = S(1) / rows;
  S scale[kUnits], mean[kUnits], tilt[kUnits];
  for (int64_t j = 0; j < n; ++j) {
    weight_gradient[begin + j] = along[j];
    bias_gradient[begin + j] = total[j];
    scale[j] = weight[begin + j] * inverse[begin + j];
    mean[j] = total[j] * inverse_rows;
    tilt[j] = along[j] * inverse_rows;
  }
  for (int64_t i = 0; i < rows; ++i) {
    const T* g = gradient + i * gradient_stride + begin;
    T* __restrict x = normal + i * stride + begin;
    for (int64_t j = 0; j < n; ++j) {
      const S value = widen(x[j]);
      const S y = value * weight[begin + j] + bias[begin + j] > 0 ? widen(g[j]) : S(0);
      narrow(scale[j] * (y - mean[j] - value * tilt[j]), x[j]);
    }
  }
}

// --- the gradient at logits ---------------------------------------------------------------------

// Rows [begin, end); adds their sums to `sums`. `p` and `v` are scratch for one row. Returns the
// first cell whose level is not one of its column, as row * columns + column, or -1.
template <class S, class T>
SDV_INLINE int64_t code_gradient_rows(const CodeGradient<S, T>& q, int64_t begin, int64_t end,
                                      S* __restrict p, S* __restrict v, S* __restrict sums) {
  const int64_t width = q.offsets[q.columns];
  for (int64_t row = begin; row < end; ++row) {
    T* g = q.gradient + row * q.gradient_stride;
    const T* l = q.logits + row * q.logits_stride;
    const int64_t* level = q.levels + row * q.columns;
    for (int64_t i = 0; i < width; ++i) p[i] = widen(l[i]) + q.bias[i];
    for (int64_t i = 0; i < width; ++i) v[i] = widen(g[i]);
    for (int64_t c = 0; c < q.columns; ++c) {
      const int64_t start = q.offsets[c], stop = q.offsets[c + 1];
      const S maximum = block_maximum(p + start, stop - start);
      for (int64_t i = start; i < stop; ++i) p[i] -= maximum;
      for (int64_t k = 0; k < q.count; ++k) {
        const S slope = q.slopes[(k * q.rows + row) * q.columns + c];
        if (slope == 0) continue;
        const S* table = q.tables + k * width;
        for (int64_t i = start; i < stop; ++i) v[i] += slope * table[i];
      }
    }
    for (int64_t i = 0; i < width; ++i) p[i] = softmax_weight(p[i]);
    for (int64_t c = 0; c < q.columns; ++c) {
      const int64_t start = q.offsets[c], n = q.offsets[c + 1] - start, sampled = level[c];
      if (sampled < start || sampled >= start + n) return row * q.columns + c;
      const S half = S(0.5) / block_sum<S>(p + start, n);
      const S at_sample = v[sampled];
      for (int64_t i = start; i < start + n; ++i) v[i] = half * p[i] * (v[i] - at_sample);
      v[sampled] = -block_sum<S>(v + start, n);
    }
    for (int64_t i = 0; i < width; ++i) {
      narrow(v[i], g[i]);
      sums[i] += v[i];
    }
  }
  return -1;
}

// --- scores of positions ------------------------------------------------------------------------

// Rows [begin, end); `x` is scratch for one row of features.
template <class S, class T>
SDV_INLINE void score_rows(const T* features, int64_t stride, int64_t width, const S* weight,
                           const S* bias, const S* jitter, int64_t count, S low, S high,
                           int64_t begin, int64_t end, S* __restrict x, S* scores, S* stretches) {
  for (int64_t row = begin; row < end; ++row) {
    const T* from = features + row * stride;
    for (int64_t i = 0; i < width; ++i) x[i] = widen(from[i]);
    for (int64_t j = 0; j < count; ++j) {
      const S mean = bias[j] + block_inner(x, weight + j * width, width);
      const S log_scale = bias[count + j] + block_inner(x, weight + (count + j) * width, width);
      const int64_t at = row * count + j;
      scores[at] = position_score(mean, log_scale, jitter[at], low, high, stretches[at]);
    }
  }
}

#define SDV_INSTANTIATE(S, T, SUFFIX)                                                             \
  SDV_CLONES void norm_units_##SUFFIX(T* z, int64_t stride, int64_t rows, const S* weight,        \
                                      const S* bias, S epsilon, int64_t begin, int64_t end,       \
                                      T* out, int64_t out_stride, S* inverse) {                   \
    norm_units<S, T>(z, stride, rows, weight, bias, epsilon, begin, end, out, out_stride,         \
                     inverse);                                                                    \
  }                                                                                               \
  SDV_CLONES void norm_units_backward_##SUFFIX(                                                   \
      const T* gradient, int64_t gradient_stride, T* normal, int64_t stride, int64_t rows,        \
      const S* weight, const S* bias, const S* inverse, int64_t begin, int64_t end,               \
      S* weight_gradient, S* bias_gradient) {                                                     \
    norm_units_backward<S, T>(gradient, gradient_stride, normal, stride, rows, weight, bias,      \
                              inverse, begin, end, weight_gradient, bias_gradient);               \
  }                                                                                               \
  SDV_CLONES int64_t code_gradient_rows_##SUFFIX(const CodeGradient<S, T>& q, int64_t begin,      \
                                                 int64_t end, S* p, S* v, S* sums) {              \
    return code_gradient_rows<S, T>(q, begin, end, p, v, sums);                                   \
  }                                                                                               \
  SDV_CLONES void score_rows_##SUFFIX(const T* features, int64_t stride, int64_t width,           \
                                      const S* weight, const S* bias, const S* jitter,            \
                                      int64_t count, S low, S high, int64_t begin, int64_t end,   \
                                      S* x, S* scores, S* stretches) {                            \
    score_rows<S, T>(features, stride, width, weight, bias, jitter, count, low, high, begin, end, \
                     x, scores, stretches);                                                       \
  }

SDV_INSTANTIATE(float, float, float)
SDV_INSTANTIATE(float, bfloat16, bfloat16)
SDV_INSTANTIATE(double, double, double)

template <class T>
struct Kernels;
#define SDV_KERNELS(T)                                                   \
  template <>                                                            \
  struct Kernels<T> {                                                    \
    static constexpr auto norm_units = norm_units_##T;                   \
    static constexpr auto norm_units_backward = norm_units_backward_##T; \
    static constexpr auto code_gradient_rows = code_gradient_rows_##T;   \
    static constexpr auto score_rows = score_rows_##T;                   \
  };
SDV_KERNELS(float)
SDV_KERNELS(bfloat16)
SDV_KERNELS(double)

// Runs `use` on blocks of units, shared among the threads.
template <class Use>
void for_units(int64_t width, int64_t rows, Use use) {
  const int64_t blocks = (width + kUnits - 1) / kUnits;
  torch::stable::parallel_for(0, blocks, rows_per_thread(rows * kUnits),
                              [&](int64_t begin, int64_t end) {
                                for (int64_t b = begin; b < end; ++b)
                                  use(b * kUnits, std::min((b + 1) * kUnits, width));
                              });
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  static Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
    return sdv_wgangp::checked_offsets(op, offsets, width);
  }

  template <class S, class T>
  void norm(const Norm<S, T>& p) {
    for_units(p.width, p.rows, [&](int64_t begin, int64_t end) {
      Kernels<T>::norm_units(p.z, p.stride, p.rows, p.weight, p.bias, p.epsilon, begin, end, p.out,
                             p.out_stride, p.inverse);
    });
  }

  template <class S, class T>
  void norm_backward(const NormBackward<S, T>& p) {
    for_units(p.width, p.rows, [&](int64_t begin, int64_t end) {
      Kernels<T>::norm_units_backward(p.gradient, p.gradient_stride, p.normal, p.stride, p.rows,
                                      p.weight, p.bias, p.inverse, begin, end, p.weight_gradient,
                                      p.bias_gradient);
    });
  }

  template <class S, class T>
  void code_gradient(const char* op, const CodeGradient<S, T>& p) {
    FirstFault fault;
    const int64_t chunks = (p.rows + kRowsOfSums - 1) / kRowsOfSums;
    std::vector<S> sums(static_cast<size_t>(chunks * p.width));
    torch::stable::parallel_for(
        0, chunks, rows_per_thread(p.width * kRowsOfSums), [&](int64_t begin, int64_t end) {
          std::vector<S> scratch(static_cast<size_t>(2 * p.width));
          for (int64_t c = begin; c < end; ++c)
            fault.note(Kernels<T>::code_gradient_rows(
                p, c * kRowsOfSums, std::min((c + 1) * kRowsOfSums, p.rows), scratch.data(),
                scratch.data() + p.width, sums.data() + c * p.width));
        });
    if (fault.found())
      fail(op, ": levels must lie in their column, got ", p.levels[fault.place()], " in row ",
           fault.place() / p.columns, ", column ", fault.place() % p.columns);
    std::fill(p.sums, p.sums + p.width, S(0));
    for (int64_t c = 0; c < chunks; ++c)
      for (int64_t i = 0; i < p.width; ++i)
        p.sums[i] += sums[static_cast<size_t>(c * p.width + i)];
  }

  template <class S, class T>
  void position_head(const PositionHead<S, T>& p) {
    torch::stable::parallel_for(
        0, p.rows, rows_per_thread(p.width * p.count), [&](int64_t begin, int64_t end) {
          std::vector<S> row(static_cast<size_t>(p.width));
          Kernels<T>::score_rows(p.features, p.stride, p.width, p.weight, p.bias, p.jitter,
                                 p.count, p.low, p.high, begin, end, row.data(), p.scores,
                                 p.stretches);
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("norm_relu", TORCH_BOX(&sdv_wgangp::norm_relu<sdv_wgangp::Cpu>));
  m.impl("norm_relu_backward", TORCH_BOX(&sdv_wgangp::norm_relu_backward<sdv_wgangp::Cpu>));
  m.impl("code_gradient", TORCH_BOX(&sdv_wgangp::code_gradient<sdv_wgangp::Cpu>));
  m.impl("position_head", TORCH_BOX(&sdv_wgangp::position_head<sdv_wgangp::Cpu>));
}
