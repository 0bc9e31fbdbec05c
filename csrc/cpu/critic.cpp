// The passes of the critic's operators (critic_sweeps.h) on the CPU.
//
// Threads share rows. Where a pass also sums over rows it goes by chunks of rows, and the chunks'
// sums are added in their order, so that no result depends on the number of threads.
#include <torch/csrc/stable/library.h>

#include "../critic_sweeps.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kChunk = 32;  // rows whose sums are kept together
// Elements of the level weight that stay in the cache while they are worked on, and up to which
// number its copy in bfloat16 is kept for its second use.
constexpr int64_t kBlock = 512 * 1024;
constexpr int64_t kKept = 32 * 1024 * 1024;

// A lambda in a kernel, which must be compiled for the kernel's instruction set.
#define SDV_LAMBDA __attribute__((always_inline))

// A loop along a row. What is written in one turn is not read in another, so that the compiler
// need not compare pointers before each row, which costs as much as a short row.
#define SDV_FOR_COLUMNS(j, width) _Pragma("GCC ivdep") for (int64_t j = 0; j < width; ++j)

// --- loops over plain pointers ------------------------------------------------------------------

// z += the sum over k < N of factor(k) row(k).
template <int N, class S, class Row, class Factor>
SDV_INLINE void add_together(Row row, Factor factor, int64_t width, S* __restrict z) {
  decltype(row(0)) rows[N];
  S factors[N];
  for (int k = 0; k < N; ++k) rows[k] = row(k), factors[k] = factor(k);
  SDV_FOR_COLUMNS(j, width) {
    S sum = factors[0] * widen(rows[0][j]);
#pragma GCC unroll 8
    for (int k = 1; k < N; ++k) sum += factors[k] * widen(rows[k][j]);
    z[j] += sum;
  }
}

// The same for any number of rows: so many at a time that z is read and written seldom.
template <class S, class Row, class Factor>
SDV_INLINE void add_rows(int64_t count, Row row, Factor factor, int64_t width, S* __restrict z) {
  int64_t at = 0;
  const auto rows = [&](int64_t k) SDV_LAMBDA { return row(at + k); };
  const auto factors = [&](int64_t k) SDV_LAMBDA { return factor(at + k); };
  for (; at + 8 <= count; at += 8) add_together<8>(rows, factors, width, z);
  for (; at + 4 <= count; at += 4) add_together<4>(rows, factors, width, z);
  for (; at + 2 <= count; at += 2) add_together<2>(rows, factors, width, z);
  if (at < count) add_together<1>(rows, factors, width, z);
}

// A thread's scratch rows, and the masks where nothing is dropped, a row of ones, so that loops need
// no branches.
template <class S>
class Work {
 public:
  explicit Work(int64_t width) : width_(width), held_(4 * width, S(1)), data_(held_.data()) {}

  SDV_INLINE S* row(int64_t k) const { return data_ + (1 + k) * width_; }  // three
  SDV_INLINE const S* mask(const Mask<S>& given, int64_t i) const {
    return given.data ? given.row(i) : data_;
  }

 private:
  const int64_t width_;
  std::vector<S> held_;
  S* const data_;
};

// h = mask leaky(z), rounded; returned as S.
template <class S, class T>
SDV_INLINE S activate(S z, S mask, S slope, T& h) {
  narrow(leaky(z, slope) * mask, h);
  return widen(h);
}

template <class S, class T>
SDV_INLINE void pre_activation(const FirstLayer<S, T>& p, int group, int64_t i, S* __restrict z) {
  const Inputs<S>& in = p.inputs;
  const int64_t width = p.width;
  if (p.multiplied) {
    const S* m = p.multiplied + (group * in.rows + i) * width;
    SDV_FOR_COLUMNS(j, width) z[j] = p.bias[j] + m[j];
  } else {
    const S* x = in.channel[group] + i * in.channel_stride[group];
    SDV_FOR_COLUMNS(j, width) z[j] = p.bias[j];
    add_rows(
        in.dense, [&](int64_t c) SDV_LAMBDA { return p.dense_weight + c * width; },
        [&](int64_t c) SDV_LAMBDA { return x[c]; }, width, z);
  }
  const int64_t* levels = in.level[group] + i * in.level_stride[group];
  add_rows(
      in.cells, [&](int64_t c) SDV_LAMBDA { return p.level_weight + levels[c] * width; },
      [](int64_t) SDV_LAMBDA { return S(1); }, width, z);
}

template <class S, class T>
SDV_INLINE void first_rows(const FirstLayer<S, T>& p, int64_t begin, int64_t end,
                           const Work<S>& work) {
  const int64_t m = p.inputs.rows, width = p.width;
  S* __restrict real = work.row(0);
  S* __restrict fake = work.row(1);
  S* __restrict between = work.row(2);
  const auto finish = [&](const S* z, int64_t i) SDV_LAMBDA {
    const S* mask = work.mask(p.mask, i);
    T* h = p.h + i * width;
    SDV_FOR_COLUMNS(j, width) activate(z[j], mask[j], p.slope, h[j]);
  };
  for (int64_t i = begin; i < end; ++i) {
    pre_activation(p, 0, i, real);
    if (p.groups > 1) pre_activation(p, 1, i, fake);
    if (p.groups > 2) {
      const S epsilon = p.epsilon[i * p.epsilon_stride];
      SDV_FOR_COLUMNS(j, width) between[j] = interpolate(real[j], fake[j], epsilon);
    }
    finish(real, i);
    if (p.groups > 1) finish(fake, m + i);
    if (p.groups > 2) finish(between, 2 * m + i);
  }
}

template <class S>
SDV_INLINE S inner(const S* x, const S* y, int64_t n) {
  constexpr int count = 4 * kLanes;
  S lanes[count] = {};
  int64_t i = 0;
  for (; i + count <= n; i += count)
    for (int k = 0; k < count; ++k) lanes[k] += x[i + k] * y[i + k];
  // By halves: one after the other they would take longer than the products.
  for (int half = count / 2; half > 0; half /= 2)
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  S sum = lanes[0];
  for (; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// scale g slope mask, read off the layer's h.
template <class S, class G, class H>
SDV_INLINE S back_through(S scale, G g, H h, S slope, S mask) {
  return scale * widen(g) * leaky_slope(widen(h), slope) * mask;
}

// The sums of one chunk, at 0, or, where none are wanted, a row that nobody reads.
template <class S>
SDV_INLINE S* chunk_sums(S* sums, int64_t chunk, int64_t width, S* otherwise) {
  S* own = sums ? sums + chunk * width : otherwise;
  for (int64_t j = 0; j < width; ++j) own[j] = 0;
  return own;
}

SDV_INLINE int64_t chunk_end(int64_t chunk, int64_t rows) {
  return (chunk + 1) * kChunk < rows ? (chunk + 1) * kChunk : rows;
}

template <class S, class T>
SDV_INLINE void forward_chunks(const ForwardLayer<S, T>& p, S* bias_sums, S* head_sums,
                               int64_t begin, int64_t end, const Work<S>& work) {
  const int64_t width = p.width;
  S* __restrict z = work.row(0);
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* to_bias = chunk_sums(bias_sums, chunk, width, work.row(1));
    S* to_head = chunk_sums(head_sums, chunk, width, work.row(2));
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      T* h = p.h + i * width;
      const S* mask = work.mask(p.mask, i);
      if (p.bias) SDV_FOR_COLUMNS(j, width)
      z[j] = activate(widen(h[j]) + p.bias[j], mask[j], p.slope, h[j]);
      else SDV_FOR_COLUMNS(j, width) z[j] = widen(h[j]);
      if (!p.head) continue;
      p.scores[i] = *p.head_bias + inner(z, p.head, width);
      if (!p.a) continue;
      const S upstream = p.factors.upstream(i);
      const S e = p.factors.signal_factor(i), c = p.factors.loss_factor(i);
      T* a = p.a + i * width;
      SDV_FOR_COLUMNS(j, width) {
        const S v = back_through(upstream, p.head[j], z[j], p.slope, mask[j]);
        narrow(v, a[j]);
        to_bias[j] += e * v;
        to_head[j] += c * z[j];
      }
    }
  }
}

template <class S, class T>
SDV_INLINE void reverse_chunks(const ReverseLayer<S, T>& p, S* bias_sums, int64_t begin,
                               int64_t end, const Work<S>& work) {
  const int64_t width = p.width;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* to_bias = chunk_sums(bias_sums, chunk, width, work.row(0));
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      const S e = p.factors.signal_factor(i);
      const T* h = p.h + i * width;
      T* a = p.a + i * width;
      const S* mask = work.mask(p.mask, i);
      SDV_FOR_COLUMNS(j, width) {
        const S v = back_through(S(1), a[j], h[j], p.slope, mask[j]);
        narrow(v, a[j]);
        to_bias[j] += e * v;
      }
    }
  }
}

template <class S, class T>
SDV_INLINE void tangent_chunks(const TangentLayer<S, T>& p, S* head_sums, int64_t begin,
                               int64_t end, const Work<S>& work) {
  const int64_t width = p.width;
  S* __restrict d_wide = work.row(0);
  S* __restrict y_wide = work.row(1);
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* to_head = chunk_sums(head_sums, chunk, width, work.row(2));
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      T* y = p.y + i * width;
      T* h = p.h + (p.first + i) * width;
      const S* mask = work.mask(p.mask, p.first + i);
      S kappa = 1;
      if (p.d) {
        const T* d = p.d + i * width;
        SDV_FOR_COLUMNS(j, width) d_wide[j] = widen(d[j]), y_wide[j] = widen(y[j]);
        const S norm = gradient_norm(inner(y_wide, d_wide, width));
        p.terms[i] = penalty_term(p.kind, norm);
        kappa = p.scale * penalty_pull(p.kind, norm);
        T* pulled = p.pulled + i * width;
        SDV_FOR_COLUMNS(j, width) narrow(kappa * d_wide[j], pulled[j]);
      }
      const S e = p.factors.signal_factor(p.first + i);
      if (head_sums) {  // the last layer: nobody reads t and h any more
        SDV_FOR_COLUMNS(j, width)
        to_head[j] += back_through(kappa, y[j], h[j], p.slope, mask[j]);
      } else if (e == 0) {
        SDV_FOR_COLUMNS(j, width) {
          T t;
          narrow(back_through(kappa, y[j], h[j], p.slope, mask[j]), t);
          y[j] = t;
          h[j] = t;
        }
      } else {
        SDV_FOR_COLUMNS(j, width) {
          T t;
          narrow(back_through(kappa, y[j], h[j], p.slope, mask[j]), t);
          y[j] = t;
          narrow(e * widen(h[j]) + widen(t), h[j]);
        }
      }
    }
  }
}

// To each level's gradient, 0 without a penalty, the signals e a of the rows that hold it: order[k]
// for k from start[level] on.
template <class S, class T>
SDV_INLINE void sum_levels(const FirstGradient<S, T>& p, const int32_t* start,
                           const int32_t* order, int64_t begin, int64_t end) {
  for (int64_t level = begin; level < end; ++level) {
    const int32_t* rows = order + start[level];
    S* to = p.level_gradient + level * p.width;
    if (!p.outer)
      for (int64_t j = 0; j < p.width; ++j) to[j] = 0;
    add_rows(
        start[level + 1] - start[level],
        [&](int64_t k) SDV_LAMBDA { return p.a + rows[k] * p.width; },
        [&](int64_t k) SDV_LAMBDA { return p.factors.signal_factor(rows[k]); }, p.width, to);
  }
}

template <class S, class T>
struct Kernels;

// One copy per instruction set and pair of types; the templates above are inlined into each.
#define SDV_INSTANTIATE(S, T, SUFFIX)                                                        \
  SDV_CLONES void first_##SUFFIX(const FirstLayer<S, T>& p, int64_t begin, int64_t end,      \
                                 const Work<S>& work) {                                      \
    first_rows(p, begin, end, work);                                                         \
  }                                                                                          \
  SDV_CLONES void forward_##SUFFIX(const ForwardLayer<S, T>& p, S* bias_sums, S* head_sums,  \
                                   int64_t begin, int64_t end, const Work<S>& work) {        \
    forward_chunks(p, bias_sums, head_sums, begin, end, work);                               \
  }                                                                                          \
  SDV_CLONES void reverse_##SUFFIX(const ReverseLayer<S, T>& p, S* bias_sums, int64_t begin, \
                                   int64_t end, const Work<S>& work) {                       \
    reverse_chunks(p, bias_sums, begin, end, work);                                          \
  }                                                                                          \
  SDV_CLONES void tangent_##SUFFIX(const TangentLayer<S, T>& p, S* head_sums, int64_t begin, \
                                   int64_t end, const Work<S>& work) {                       \
    tangent_chunks(p, head_sums, begin, end, work);                                          \
  }                                                                                          \
  SDV_CLONES void levels_##SUFFIX(const FirstGradient<S, T>& p, const int32_t* start,        \
                                  const int32_t* order, int64_t begin, int64_t end) {        \
    sum_levels(p, start, order, begin, end);                                                 \
  }                                                                                          \
  template <>                                                                                \
  struct Kernels<S, T> {                                                                     \
    static constexpr auto first = first_##SUFFIX;                                            \
    static constexpr auto forward = forward_##SUFFIX;                                        \
    static constexpr auto reverse = reverse_##SUFFIX;                                        \
    static constexpr auto tangent = tangent_##SUFFIX;                                        \
    static constexpr auto levels = levels_##SUFFIX;                                          \
  };

SDV_INSTANTIATE(float, float, float)
SDV_INSTANTIATE(float, bfloat16, bfloat16)
SDV_INSTANTIATE(double, double, double)

// --- the device ---------------------------------------------------------------------------------

class Cpu : public CpuDevice {
 public:
  explicit Cpu(const Tensor&) {}

  // levels' levels + dense' dense as an operand, block by block.
  template <class S, class T>
  Matrix<const T> gram(Matrix<const S> levels, Matrix<const S> dense) {
    const int64_t width = levels.columns, step = block_rows(width);
    S* sum = take<S>(width * width);
    const auto to = matrix(sum, width, width);
    zero(sum, width * width);
    if constexpr (std::is_same_v<S, T>) {
      // The matrix is symmetric: of its four quarters one is a copy.
      const int64_t half = width / 2;
      for (int64_t at = 0; at < levels.rows; at += step) {
        const auto part = levels.row_range(at, std::min(at + step, levels.rows));
        const auto left = part.column_range(0, half), right = part.column_range(half, width);
        multiply(to.row_range(0, half), left.transposed(), part, true);
        multiply(to.row_range(half, width).column_range(half, width), right.transposed(), right,
                 true);
      }
      for (int64_t i = half; i < width; ++i)
        for (int64_t j = 0; j < half; ++j) sum[i * width + j] = sum[j * width + i];
      if (dense.rows > 0) multiply(to, dense.transposed(), dense, true);
      return matrix<const T>(sum, width, width);
    } else {
      const int64_t rows = levels.rows + dense.rows;
      for (int64_t at = 0; at < rows; at += step) {
        const auto part = weight_rows<S, T>(levels, dense, at, std::min(at + step, rows), true);
        multiply(to, part.transposed(), part, true);
      }
      T* operand = take<T>(width * width);
      convert(sum, width * width, operand);
      return matrix<const T>(operand, width, width);
    }
  }

  template <class S>
  void check_levels(const char* op, const char* name, const Inputs<S>& inputs, int group) {
    // One negative number among them leaves its sign; only then is it looked for.
    uint64_t any = 0;
    for (int64_t i = 0; i < inputs.rows; ++i) {
      const int64_t* levels = inputs.level[group] + i * inputs.level_stride[group];
      for (int64_t c = 0; c < inputs.cells; ++c) {
        const auto level = static_cast<uint64_t>(levels[c]);
        any |= level | (static_cast<uint64_t>(inputs.levels - 1) - level);
      }
    }
    if (static_cast<int64_t>(any) >= 0) return;
    for (int64_t i = 0; i < inputs.rows; ++i)
      for (int64_t c = 0; c < inputs.cells; ++c) {
        const int64_t level = inputs.level[group][i * inputs.level_stride[group] + c];
        SDV_CHECK(level >= 0 && level < inputs.levels, op, ": ", name, "[", i, ", ", c, "] is ",
                  level, ", but there are ", inputs.levels, " levels");
      }
  }

  template <class S, class T>
  void first(const FirstLayer<S, T>& p) {
    const int64_t cost = (p.inputs.cells + p.inputs.dense + 1) * p.width;
    torch::stable::parallel_for(0, p.inputs.rows, rows_per_thread(cost),
                                [&](int64_t begin, int64_t end) {
                                  Kernels<S, T>::first(p, begin, end, Work<S>(p.width));
                                });
  }

  template <class S, class T>
  void forward(const ForwardLayer<S, T>& p) {
    S* bias_sums = p.bias_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    S* head_sums = p.head_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      Kernels<S, T>::forward(p, bias_sums, head_sums, begin, end, Work<S>(p.width));
    });
    add_chunks(bias_sums, p.rows, p.width, false, p.bias_gradient);
    add_chunks(head_sums, p.rows, p.width, false, p.head_gradient);
  }

  template <class S, class T>
  void reverse(const ReverseLayer<S, T>& p) {
    S* bias_sums = p.bias_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      Kernels<S, T>::reverse(p, bias_sums, begin, end, Work<S>(p.width));
    });
    add_chunks(bias_sums, p.rows, p.width, false, p.bias_gradient);
  }

  template <class S, class T>
  void tangent(const TangentLayer<S, T>& p) {
    S* head_sums = p.head_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      Kernels<S, T>::tangent(p, head_sums, begin, end, Work<S>(p.width));
    });
    add_chunks(head_sums, p.rows, p.width, true, p.head_gradient);
  }

  template <class S, class T>
  void first_gradient(const FirstGradient<S, T>& p) {
    const int64_t levels = p.inputs.levels, dense = p.inputs.dense, width = p.width;
    int32_t* start = take<int32_t>(levels + 1);
    int32_t* order = take<int32_t>(2 * p.inputs.rows * p.inputs.cells);
    sort_by_level(p.inputs, start, order);
    const int64_t step = block_rows(width);
    for (int64_t at = 0; at < levels; at += step) {
      const int64_t stop = std::min(at + step, levels);
      if (p.outer) multiply_weights(p, at, stop, p.level_gradient + at * width);
      const int64_t cost = (1 + (start[stop] - start[at]) / (stop - at)) * width;
      torch::stable::parallel_for(
          at, stop, rows_per_thread(cost),
          [&](int64_t begin, int64_t end) { Kernels<S, T>::levels(p, start, order, begin, end); });
    }
    if (p.outer && dense > 0) multiply_weights(p, levels, levels + dense, p.dense_gradient);
  }

  // The channels of real and fake rows, times e, in the type of products.
  template <class S, class T>
  void scale_channels(const Inputs<S>& inputs, const RowFactors<S>& factors, T* to) {
    for (int g = 0; g < 2; ++g)
      for (int64_t i = 0; i < inputs.rows; ++i) {
        const S* from = inputs.channel[g] + i * inputs.channel_stride[g];
        const S e = factors.signal_factor(g * inputs.rows + i);
        for (int64_t c = 0; c < inputs.dense; ++c) narrow(e * from[c], *to++);
      }
  }

  template <class S>
  void losses(const S* scores, int64_t rows, const S* terms, int64_t penalised, double scale,
              S* to) {
    double loss = 0, penalty = 0;
    for (int64_t i = 0; i < rows; ++i) loss += static_cast<double>(scores[rows + i]) - scores[i];
    for (int64_t i = 0; i < penalised; ++i) penalty += terms[i];
    to[0] = static_cast<S>(loss / rows);
    to[1] = static_cast<S>(penalty * scale);
  }

  template <class S>
  void minus_mean(const S* scores, int64_t rows, S* to) {
    double sum = 0;
    for (int64_t i = 0; i < rows; ++i) sum -= scores[i];
    *to = static_cast<S>(sum / rows);
  }

  template <class S>
  void total(const S* from, int64_t count, S* to) {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += from[i];
    *to = static_cast<S>(sum);
  }

 private:
  static int64_t block_rows(int64_t width) { return std::max<int64_t>(kBlock / width, 1); }

  // Some rows of the weight, level and dense ones one below the other, times `outer`. By way of a
  // block that stays in the cache: blocks of the product are narrow, `to` may be far away.
  template <class S, class T>
  void multiply_weights(const FirstGradient<S, T>& p, int64_t begin, int64_t end, S* to) {
    const int64_t width = p.width, count = (end - begin) * width;
    const auto weights =
        weight_rows<S, T>(matrix(p.level_weight, p.inputs.levels, width),
                          matrix(p.dense_weight, p.inputs.dense, width), begin, end, false);
    const auto outer = matrix(p.outer, width, width);
    if constexpr (std::is_same_v<S, T>) {
      multiply(matrix(to, end - begin, width), weights, outer);
    } else {
      if (count > block_size_) block_ = take<T>(block_size_ = count);
      T* block = static_cast<T*>(block_);
      multiply(matrix(block, end - begin, width), weights, outer);
      torch::stable::parallel_for(0, count, kElementsPerThread, [&](int64_t from, int64_t last) {
        widen_numbers(block + from, last - from, false, to + from);
      });
    }
  }

  // Such rows in the type of products: themselves (then all of one of the two), or a copy, which
  // `gram` (`first`) makes for the gradients as well where all copies together are not too large.
  template <class S, class T>
  Matrix<const T> weight_rows(Matrix<const S> levels, Matrix<const S> dense, int64_t begin,
                              int64_t end, bool first) {
    if constexpr (std::is_same_v<S, T>) {
      return begin < levels.rows ? levels.row_range(begin, end)
                                 : dense.row_range(begin - levels.rows, end - levels.rows);
    } else {
      const int64_t width = levels.columns, rows = levels.rows + dense.rows;
      if (copy_ == nullptr) {
        whole_ = rows * width <= kKept;
        copy_ = take<T>(whole_ ? rows * width : std::max(block_rows(width), dense.rows) * width);
      }
      T* copy = static_cast<T*>(copy_) + (whole_ ? begin * width : 0);
      if (first || !whole_)
        torch::stable::parallel_for(
            begin, end, rows_per_thread(width), [&](int64_t from, int64_t to) {
              const int64_t middle = std::clamp(levels.rows, from, to);
              if (from < middle)
                convert_numbers(levels.data + from * width, (middle - from) * width,
                                copy + (from - begin) * width);
              if (middle < to)
                convert_numbers(dense.data + (middle - levels.rows) * width, (to - middle) * width,
                                copy + (middle - begin) * width);
            });
      return matrix<const T>(copy, end - begin, width);
    }
  }

  static int64_t chunks(int64_t rows) { return (rows + kChunk - 1) / kChunk; }

  template <class Pass>
  static void in_chunks(int64_t rows, int64_t width, Pass pass) {
    const int64_t grain = std::max<int64_t>(rows_per_thread(width) / kChunk, 1);
    torch::stable::parallel_for(0, chunks(rows), grain, pass);
  }

  template <class S>
  static void add_chunks(const S* sums, int64_t rows, int64_t width, bool add, S* out) {
    if (!sums) return;
    if (!add) std::fill_n(out, width, S(0));
    for (int64_t chunk = 0; chunk < chunks(rows); ++chunk)
      widen_numbers(sums + chunk * width, width, true, out);
  }

  // A counting sort of the rows by the levels they hold; stable, so the rows of a level ascend.
  template <class S>
  static void sort_by_level(const Inputs<S>& inputs, int32_t* start, int32_t* order) {
    std::fill_n(start, inputs.levels + 1, 0);
    for_each_cell(inputs, [&](int32_t, int64_t level) { ++start[level]; });
    int32_t before = 0;
    for (int64_t level = 0; level <= inputs.levels; ++level) {
      const int32_t size = start[level];
      start[level] = before;
      before += size;
    }
    for_each_cell(inputs, [&](int32_t row, int64_t level) { order[start[level]++] = row; });
    // Each start has become the next one.
    for (int64_t level = inputs.levels; level > 0; --level) start[level] = start[level - 1];
    start[0] = 0;
  }

  template <class S, class Use>
  static void for_each_cell(const Inputs<S>& inputs, Use use) {
    for (int g = 0; g < 2; ++g)
      for (int64_t i = 0; i < inputs.rows; ++i) {
        const int64_t* levels = inputs.level[g] + i * inputs.level_stride[g];
        for (int64_t c = 0; c < inputs.cells; ++c)
          use(static_cast<int32_t>(g * inputs.rows + i), levels[c]);
      }
  }

  void* copy_ = nullptr;   // of the first layer's weights, in the type of products
  bool whole_ = false;     // of all their rows
  void* block_ = nullptr;  // of such rows times `outer`
  int64_t block_size_ = 0;
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("critic_step", TORCH_BOX(&sdv_wgangp::critic_step<sdv_wgangp::Cpu>));
  m.impl("critic_row_gradient", TORCH_BOX(&sdv_wgangp::critic_row_gradient<sdv_wgangp::Cpu>));
  m.impl("critic_scores", TORCH_BOX(&sdv_wgangp::critic_scores<sdv_wgangp::Cpu>));
}
