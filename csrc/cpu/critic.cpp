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

// --- loops over plain pointers ------------------------------------------------------------------

// z += the rows of `weight` that the cells name, four at a time.
template <class S>
SDV_INLINE void add_levels(const int64_t* levels, int64_t cells, const S* weight, int64_t width,
                           S* __restrict z) {
  int64_t c = 0;
  for (; c + 4 <= cells; c += 4) {
    const S* w0 = weight + levels[c] * width;
    const S* w1 = weight + levels[c + 1] * width;
    const S* w2 = weight + levels[c + 2] * width;
    const S* w3 = weight + levels[c + 3] * width;
    for (int64_t j = 0; j < width; ++j) z[j] += (w0[j] + w1[j]) + (w2[j] + w3[j]);
  }
  for (; c < cells; ++c) {
    const S* w = weight + levels[c] * width;
    for (int64_t j = 0; j < width; ++j) z[j] += w[j];
  }
}

// z += x weight for one row x.
template <class S>
SDV_INLINE void add_channels(const S* x, int64_t channels, const S* weight, int64_t width,
                             S* __restrict z) {
  int64_t c = 0;
  for (; c + 4 <= channels; c += 4, weight += 4 * width) {
    const S x0 = x[c], x1 = x[c + 1], x2 = x[c + 2], x3 = x[c + 3];
    const S* w1 = weight + width;
    const S* w2 = w1 + width;
    const S* w3 = w2 + width;
    for (int64_t j = 0; j < width; ++j)
      z[j] += (x0 * weight[j] + x1 * w1[j]) + (x2 * w2[j] + x3 * w3[j]);
  }
  for (; c < channels; ++c, weight += width)
    for (int64_t j = 0; j < width; ++j) z[j] += x[c] * weight[j];
}

template <class S, class T>
SDV_INLINE void activate(const S* z, const S* mask, int64_t width, S slope, T* __restrict h) {
  if (mask)
    for (int64_t j = 0; j < width; ++j) narrow(leaky(z[j], slope) * mask[j], h[j]);
  else
    for (int64_t j = 0; j < width; ++j) narrow(leaky(z[j], slope), h[j]);
}

template <class S, class T>
SDV_INLINE void pre_activation(const FirstLayer<S, T>& p, int group, int64_t i, S* __restrict z) {
  const Inputs<S>& in = p.inputs;
  if (p.multiplied) {
    const S* m = p.multiplied + (group * in.rows + i) * p.width;
    for (int64_t j = 0; j < p.width; ++j) z[j] = p.bias[j] + m[j];
  } else {
    for (int64_t j = 0; j < p.width; ++j) z[j] = p.bias[j];
    add_channels(in.channel[group] + i * in.channel_stride[group], in.dense, p.dense_weight,
                 p.width, z);
  }
  add_levels(in.level[group] + i * in.level_stride[group], in.cells, p.level_weight, p.width, z);
}

template <class S, class T>
SDV_INLINE void first_rows(const FirstLayer<S, T>& p, int64_t begin, int64_t end, S* work) {
  const int64_t m = p.inputs.rows, width = p.width;
  S* __restrict real = work;
  S* __restrict fake = work + width;
  for (int64_t i = begin; i < end; ++i) {
    pre_activation(p, 0, i, real);
    activate(real, p.mask.row(i), width, p.slope, p.h + i * width);
    if (p.groups < 2) continue;
    pre_activation(p, 1, i, fake);
    activate(fake, p.mask.row(m + i), width, p.slope, p.h + (m + i) * width);
    if (p.groups < 3) continue;
    const S share = p.share[i * p.share_stride];
    for (int64_t j = 0; j < width; ++j) real[j] = interpolate(real[j], fake[j], share);
    activate(real, p.mask.row(2 * m + i), width, p.slope, p.h + (2 * m + i) * width);
  }
}

template <class S, class T>
SDV_INLINE S inner(const T* h, const S* w, int64_t n) {
  constexpr int count = 4 * kLanes;
  S sum = 0;
  int64_t i = 0;
  S lanes[count] = {};
  for (; i + count <= n; i += count)
    for (int k = 0; k < count; ++k) lanes[k] += widen(h[i + k]) * w[i + k];
  for (int k = 0; k < count; ++k) sum += lanes[k];
  for (; i < n; ++i) sum += widen(h[i]) * w[i];
  return sum;
}

// out = scale g slope mask, read off the layer's h; sums += factor out, where sums are wanted.
template <class S, class T, class G>
SDV_INLINE void back_through(const G* g, S scale, const T* h, const S* mask, S slope,
                             int64_t width, T* out, S factor, S* __restrict sums) {
  if (mask)
    for (int64_t j = 0; j < width; ++j) {
      const S v = scale * widen(g[j]) * leaky_slope(widen(h[j]), slope) * mask[j];
      narrow(v, out[j]);
      if (sums) sums[j] += factor * v;
    }
  else
    for (int64_t j = 0; j < width; ++j) {
      const S v = scale * widen(g[j]) * leaky_slope(widen(h[j]), slope);
      narrow(v, out[j]);
      if (sums) sums[j] += factor * v;
    }
}

// The sums of one chunk, at 0; null where none are wanted.
template <class S>
SDV_INLINE S* chunk_sums(S* sums, int64_t chunk, int64_t width) {
  if (!sums) return nullptr;
  S* own = sums + chunk * width;
  for (int64_t j = 0; j < width; ++j) own[j] = 0;
  return own;
}

SDV_INLINE int64_t chunk_end(int64_t chunk, int64_t rows) {
  return (chunk + 1) * kChunk < rows ? (chunk + 1) * kChunk : rows;
}

template <class S, class T>
SDV_INLINE void forward_chunks(const ForwardLayer<S, T>& p, S* bias_sums, S* head_sums,
                               int64_t begin, int64_t end, S* work) {
  const int64_t width = p.width;
  S* __restrict z = work;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* of_bias = chunk_sums(bias_sums, chunk, width);
    S* __restrict of_head = chunk_sums(head_sums, chunk, width);
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      T* h = p.h + i * width;
      const S* mask = p.mask.row(i);
      if (p.bias) {
        for (int64_t j = 0; j < width; ++j) z[j] = widen(h[j]) + p.bias[j];
        activate(z, mask, width, p.slope, h);
      }
      if (!p.head) continue;
      const int64_t g = i / p.factors.group;
      p.scores[i] = *p.head_bias + inner(h, p.head, width);
      back_through(p.head, p.factors.upstream[g], h, mask, p.slope, width, p.a + i * width,
                   p.factors.share_of_loss[g], g < 2 ? of_bias : nullptr);
      const S c = p.factors.loss_factor[g];
      if (of_head && c != 0)
        for (int64_t j = 0; j < width; ++j) of_head[j] += c * widen(h[j]);
    }
  }
}

template <class S, class T>
SDV_INLINE void reverse_chunks(const ReverseLayer<S, T>& p, S* bias_sums, int64_t begin,
                               int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* of_bias = chunk_sums(bias_sums, chunk, p.width);
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      const int64_t g = i / p.factors.group;
      T* a = p.a + i * p.width;
      back_through(a, S(1), p.h + i * p.width, p.mask.row(i), p.slope, p.width, a,
                   p.factors.share_of_loss[g], g < 2 ? of_bias : nullptr);
    }
  }
}

template <class S, class T>
SDV_INLINE void tangent_chunks(const TangentLayer<S, T>& p, S* head_sums, int64_t begin,
                               int64_t end, S* work) {
  const int64_t width = p.width;
  S* __restrict wide = work;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* of_head = chunk_sums(head_sums, chunk, width);
    for (int64_t i = chunk * kChunk; i < chunk_end(chunk, p.rows); ++i) {
      T* y = p.y + i * width;
      T* h = p.h + (p.first + i) * width;
      S kappa = 1;
      if (p.d) {
        const T* d = p.d + i * width;
        for (int64_t j = 0; j < width; ++j) wide[j] = widen(d[j]);
        const S norm = gradient_norm(inner(y, wide, width));
        p.terms[i] = penalty_term(p.kind, norm);
        kappa = p.scale * penalty_pull(p.kind, norm);
        T* pulled = p.pulled + i * width;
        for (int64_t j = 0; j < width; ++j) narrow(kappa * wide[j], pulled[j]);
      }
      back_through(y, kappa, h, p.mask.row(p.first + i), p.slope, width, y, S(1), of_head);
      const S e = p.factors.share_of_loss[(p.first + i) / p.factors.group];
      if (e == 0)
        memcpy(h, y, width * sizeof(T));
      else
        for (int64_t j = 0; j < width; ++j) narrow(e * widen(h[j]) + widen(y[j]), h[j]);
    }
  }
}

// What a block of levels gets: gradient = base + the sum over the rows that hold the level.
// `order` lists the rows of each level, ascending, from start[level] on. The base, [.., width] from
// level `first` on, may be where the gradient is, or null: nothing.
template <class T>
struct LevelBlock {
  const T* base;
  int64_t first;
  const int32_t *start, *order;
};

template <class S, class T>
SDV_INLINE void sum_levels(const LevelGradient<S, T>& p, const LevelBlock<T>& block,
                           int64_t begin, int64_t end) {
  const int64_t width = p.width, group = p.factors.group;
  const S* e = p.factors.share_of_loss;
  for (int64_t level = begin; level < end; ++level) {
    int64_t at = block.start[level];
    const int64_t stop = block.start[level + 1];
    const int32_t* order = block.order;
    S* __restrict out = p.gradient + level * width;
    if (block.base) {
      const T* from = block.base + (level - block.first) * width;
      if (static_cast<const void*>(from) != out)
        for (int64_t j = 0; j < width; ++j) out[j] = widen(from[j]);
    } else {
      for (int64_t j = 0; j < width; ++j) out[j] = 0;
    }
    // Four rows at a time.
    for (; at + 4 <= stop; at += 4) {
      const int32_t* r = order + at;
      const T *a0 = p.a + r[0] * width, *a1 = p.a + r[1] * width;
      const T *a2 = p.a + r[2] * width, *a3 = p.a + r[3] * width;
      const S e0 = e[r[0] >= group], e1 = e[r[1] >= group];
      const S e2 = e[r[2] >= group], e3 = e[r[3] >= group];
      for (int64_t j = 0; j < width; ++j)
        out[j] += (e0 * widen(a0[j]) + e1 * widen(a1[j])) + (e2 * widen(a2[j]) + e3 * widen(a3[j]));
    }
    for (; at < stop; ++at) {
      const T* a = p.a + order[at] * width;
      const S factor = e[order[at] >= group];
      for (int64_t j = 0; j < width; ++j) out[j] += factor * widen(a[j]);
    }
  }
}

template <class S, class T>
struct Kernels;

// One copy per instruction set and pair of types; the templates above are inlined into each.
#define SDV_INSTANTIATE(S, T, SUFFIX)                                                             \
  SDV_CLONES void first_##SUFFIX(const FirstLayer<S, T>& p, int64_t begin, int64_t end, S* work) {\
    first_rows(p, begin, end, work);                                                              \
  }                                                                                               \
  SDV_CLONES void forward_##SUFFIX(const ForwardLayer<S, T>& p, S* bias_sums, S* head_sums,       \
                                   int64_t begin, int64_t end, S* work) {                         \
    forward_chunks(p, bias_sums, head_sums, begin, end, work);                                    \
  }                                                                                               \
  SDV_CLONES void reverse_##SUFFIX(const ReverseLayer<S, T>& p, S* bias_sums, int64_t begin,      \
                                   int64_t end) {                                                 \
    reverse_chunks(p, bias_sums, begin, end);                                                     \
  }                                                                                               \
  SDV_CLONES void tangent_##SUFFIX(const TangentLayer<S, T>& p, S* head_sums, int64_t begin,      \
                                   int64_t end, S* work) {                                        \
    tangent_chunks(p, head_sums, begin, end, work);                                               \
  }                                                                                               \
  SDV_CLONES void levels_##SUFFIX(const LevelGradient<S, T>& p, const LevelBlock<T>& block,       \
                                  int64_t begin, int64_t end) {                                   \
    sum_levels(p, block, begin, end);                                                             \
  }                                                                                               \
  template <>                                                                                     \
  struct Kernels<S, T> {                                                                          \
    static constexpr auto first = first_##SUFFIX;                                                 \
    static constexpr auto forward = forward_##SUFFIX;                                             \
    static constexpr auto reverse = reverse_##SUFFIX;                                             \
    static constexpr auto tangent = tangent_##SUFFIX;                                             \
    static constexpr auto levels = levels_##SUFFIX;                                               \
  };

SDV_INSTANTIATE(float, float, float)
SDV_INSTANTIATE(float, bfloat16, bfloat16)
SDV_INSTANTIATE(double, double, double)

// --- the device ---------------------------------------------------------------------------------

class Cpu : public CpuDevice {
 public:
  explicit Cpu(const Tensor&) {}

  // out = levels' levels + dense' dense, block by block.
  template <class S, class T>
  void gram(Matrix<const S> levels, Matrix<const S> dense, S* out) {
    const int64_t width = levels.columns, step = block_rows(width);
    const auto to = matrix(out, width, width);
    zero(out, width * width);
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
        for (int64_t j = 0; j < half; ++j) out[i * width + j] = out[j * width + i];
    } else {
      if (levels.rows * width <= kKept) kept_ = take<T>(levels.rows * width);
      T* product = take<T>(width * width);
      for (int64_t at = 0; at < levels.rows; at += step) {
        const auto part = level_block<S, T>(levels, at, std::min(at + step, levels.rows), true);
        multiply(matrix(product, width, width), part.transposed(), part);
        widen(product, width * width, true, out);
      }
    }
    if (dense.rows > 0) multiply(to, dense.transposed(), dense, true);
  }

  template <class S>
  void check_levels(const char* op, const char* name, const Inputs<S>& inputs, int group) {
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
                                  std::vector<S> work(2 * p.width);
                                  Kernels<S, T>::first(p, begin, end, work.data());
                                });
  }

  template <class S, class T>
  void forward(const ForwardLayer<S, T>& p) {
    S* bias_sums = p.bias_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    S* head_sums = p.head_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      std::vector<S> work(p.width);
      Kernels<S, T>::forward(p, bias_sums, head_sums, begin, end, work.data());
    });
    add_chunks(bias_sums, p.rows, p.width, false, p.bias_gradient);
    add_chunks(head_sums, p.rows, p.width, false, p.head_gradient);
  }

  template <class S, class T>
  void reverse(const ReverseLayer<S, T>& p) {
    S* bias_sums = p.bias_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      Kernels<S, T>::reverse(p, bias_sums, begin, end);
    });
    add_chunks(bias_sums, p.rows, p.width, false, p.bias_gradient);
  }

  template <class S, class T>
  void tangent(const TangentLayer<S, T>& p) {
    S* head_sums = p.head_gradient ? take<S>(chunks(p.rows) * p.width) : nullptr;
    in_chunks(p.rows, p.width, [&](int64_t begin, int64_t end) {
      std::vector<S> work(p.width);
      Kernels<S, T>::tangent(p, head_sums, begin, end, work.data());
    });
    add_chunks(head_sums, p.rows, p.width, true, p.head_gradient);
  }

  template <class S, class T>
  void level_gradient(const LevelGradient<S, T>& p) {
    const int64_t levels = p.inputs.levels, width = p.width;
    int32_t* start = take<int32_t>(levels + 1);
    int32_t* order = take<int32_t>(2 * p.inputs.rows * p.inputs.cells);
    sort_by_level(p.inputs, start, order);
    const int64_t step = block_rows(width);
    T* product = nullptr;
    Matrix<const T> outer{};
    if (p.outer) {
      outer = operand<S, T>(matrix(p.outer, width, width));
      if constexpr (!std::is_same_v<S, T>) product = take<T>(std::min(step, levels) * width);
    }
    for (int64_t at = 0; at < levels; at += step) {
      const int64_t stop = std::min(at + step, levels);
      LevelBlock<T> block{nullptr, at, start, order};
      if (p.outer) {
        T* to = product;
        if constexpr (std::is_same_v<S, T>) to = p.gradient + at * width;
        multiply(matrix(to, stop - at, width),
                 level_block<S, T>(matrix(p.weight, levels, width), at, stop), outer);
        block.base = to;
      }
      const int64_t cost = (1 + (start[stop] - start[at]) / (stop - at)) * width;
      torch::stable::parallel_for(
          at, stop, rows_per_thread(cost), [&](int64_t begin, int64_t end) {
            Kernels<S, T>::levels(p, block, begin, end);
          });
    }
  }

  // The channels of real and fake rows, times e, in the type of products.
  template <class S, class T>
  void scale_channels(const Inputs<S>& inputs, const RowFactors<S>& factors, T* to) {
    for (int g = 0; g < 2; ++g)
      for (int64_t i = 0; i < inputs.rows; ++i) {
        const S* from = inputs.channel[g] + i * inputs.channel_stride[g];
        for (int64_t c = 0; c < inputs.dense; ++c)
          narrow(factors.share_of_loss[g] * from[c], *to++);
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

 private:
  static int64_t block_rows(int64_t width) { return std::max<int64_t>(kBlock / width, 1); }

  // Some rows of the level weight in the type of products: themselves, or a copy, which `gram`
  // (`first`) makes for the level gradient as well.
  template <class S, class T>
  Matrix<const T> level_block(Matrix<const S> levels, int64_t begin, int64_t end,
                              bool first = false) {
    if constexpr (std::is_same_v<S, T>) {
      return levels.row_range(begin, end);
    } else {
      const int64_t width = levels.columns;
      if (kept_ == nullptr && block_ == nullptr) block_ = take<T>(block_rows(width) * width);
      T* copy = kept_ ? static_cast<T*>(kept_) + begin * width : static_cast<T*>(block_);
      const S* given = levels.data + begin * width;
      if (first || kept_ == nullptr)
        torch::stable::parallel_for(
            0, end - begin, rows_per_thread(width), [&](int64_t from, int64_t to) {
              convert_numbers(given + from * width, (to - from) * width, copy + from * width);
            });
      return matrix<const T>(copy, end - begin, width);
    }
  }

  template <class S, class T>
  Matrix<const T> operand(Matrix<const S> from) {
    if constexpr (std::is_same_v<S, T>) {
      return from;
    } else {
      T* to = take<T>(from.rows * from.columns);
      convert(from.data, from.rows * from.columns, to);
      return matrix<const T>(to, from.rows, from.columns);
    }
  }

  static int64_t chunks(int64_t rows) { return (rows + kChunk - 1) / kChunk; }

  template <class Work>
  static void in_chunks(int64_t rows, int64_t width, Work work) {
    const int64_t grain = std::max<int64_t>(rows_per_thread(width) / kChunk, 1);
    torch::stable::parallel_for(0, chunks(rows), grain, work);
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

  void* kept_ = nullptr;   // the level weight as T, whole
  void* block_ = nullptr;  // or one block of it
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("critic_step", TORCH_BOX(&sdv_wgangp::critic_step<sdv_wgangp::Cpu>));
  m.impl("critic_row_gradient", TORCH_BOX(&sdv_wgangp::critic_row_gradient<sdv_wgangp::Cpu>));
}
