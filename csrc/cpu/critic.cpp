// The critic step of a WGAN-GP and the gradient at its input rows, without autograd, on the CPU.
//
// Rows stand in the order real, fake, interpolates (RowPlan). For every hidden layer l two
// matrices [rows, width] are kept, of the type T in which products are done (float32, float64 or
// bfloat16); sums, norms, biases and losses are of the type S of the parameters:
//
//     h_l   what the layer gives; later, at penalised rows, what multiplies a_{l+1} in the
//           weights' gradient: e h_l + t_l with the tangent t_l (RowPlan)
//     a_l   the reverse signal, d f / d z_l times the row's upstream factor
//
// Element-wise work is done in as few passes as there are products; threads share rows, in chunks
// whose partial sums are added in the order of the chunks, so that results do not depend on the
// number of threads.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <tuple>

#include "../critic.h"
#include "../products.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kChunk = 32;           // rows whose partial sums are kept together
constexpr int64_t kBlock = 512 * 1024;   // elements of the level weight worked on at a time
constexpr int64_t kDenseInLoop = 64;     // more dense channels are multiplied by torch

// --- memory -------------------------------------------------------------------------------------

// Scratch memory of a step. It is kept by the thread for its next step: fresh pages from the
// system would cost as much time as the arithmetic.
class Scratch {
 public:
  template <class T>
  T* take(int64_t count) {
    const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
      // Twice the size each time, so that few steps pass before one block serves.
      const size_t size = std::max(bytes, blocks_.empty() ? kLeast : 2 * blocks_.back().size);
      blocks_.push_back({static_cast<char*>(std::aligned_alloc(kAlign, size)), size});
      if (blocks_.back().data == nullptr) {
        blocks_.pop_back();
        throw std::bad_alloc();
      }
      used_ = 0;
    }
    char* taken = blocks_.back().data + used_;
    used_ += bytes;
    return reinterpret_cast<T*>(taken);
  }
  // Keeps the largest block unless it is unusually large.
  void reset() {
    while (blocks_.size() > 1) {
      std::free(blocks_.front().data);
      blocks_.erase(blocks_.begin());
    }
    if (!blocks_.empty() && blocks_.back().size > kMost) {
      std::free(blocks_.back().data);
      blocks_.clear();
    }
    used_ = 0;
  }
  ~Scratch() {
    for (const Block& block : blocks_) std::free(block.data);
  }

 private:
  static constexpr size_t kAlign = 64, kLeast = size_t(1) << 20, kMost = size_t(1) << 28;
  struct Block {
    char* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t used_ = 0;
};

Scratch& scratch() {
  static thread_local Scratch memory;
  memory.reset();
  return memory;
}

// --- products -----------------------------------------------------------------------------------

const torch::stable::Device& cpu() {
  static const torch::stable::Device device(torch::headeronly::DeviceType::CPU);
  return device;
}

// out = a b, or out += a b.
template <class O, class A, class B>
void multiply(Matrix<O> out, Matrix<A> a, Matrix<B> b, bool add = false) {
  if (out.rows == 0 || out.columns == 0) return;
  const Tensor to = out.tensor(cpu()), x = a.tensor(cpu()), y = b.tensor(cpu());
  const AOTITorchError error =
      add ? aoti_torch_cpu_addmm_out(to.get(), to.get(), x.get(), y.get(), 1.0, 1.0)
          : aoti_torch_cpu_mm_out(to.get(), x.get(), y.get());
  SDV_CHECK(error == 0, "critic: torch refused a product of [", a.rows, ", ", a.columns,
            "] and [", b.rows, ", ", b.columns, "]");
}

// --- loops --------------------------------------------------------------------------------------

template <class S, class T>
SDV_INLINE void convert(const S* from, int64_t n, T* to) {
  for (int64_t i = 0; i < n; ++i) narrow(from[i], to[i]);
}

template <class S, class T>
SDV_INLINE void widen_to(const T* from, int64_t n, bool add, S* to) {
  if (add)
    for (int64_t i = 0; i < n; ++i) to[i] += widen(from[i]);
  else
    for (int64_t i = 0; i < n; ++i) to[i] = widen(from[i]);
}

// z += the rows of `weight` that the cells name, four at a time.
template <class S>
SDV_INLINE void add_levels(const int32_t* levels, int64_t cells, const S* weight, int64_t width,
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

// The rows' dropout masks of one layer, or none.
template <class S>
struct Mask {
  const S* data = nullptr;
  int64_t stride = 0;
  SDV_INLINE const S* row(int64_t i) const { return data ? data + i * stride : nullptr; }
};

// First layer. For row i of `rows`: pre-activations of the real row i, of the fake one, and
// between them; z holds what torch multiplied beforehand, or is null.
template <class S, class T>
struct FirstLayer {
  int64_t rows, cells, dense, width, groups;
  const int32_t* levels;  // [groups of 1 or 2 * rows, cells]
  const S* channels;      // the same rows, [.., dense]
  const S *level_weight, *dense_weight, *bias;
  const S* multiplied;  // [the same rows, width] or null
  const S* share;       // [rows], stride share_stride
  int64_t share_stride;
  Mask<S> mask;
  S slope;
  T* h;  // [groups * rows, width]
};

template <class S, class T>
SDV_INLINE void pre_activation(const FirstLayer<S, T>& p, int64_t row, S* __restrict z) {
  if (p.multiplied) {
    const S* m = p.multiplied + row * p.width;
    for (int64_t j = 0; j < p.width; ++j) z[j] = p.bias[j] + m[j];
  } else {
    for (int64_t j = 0; j < p.width; ++j) z[j] = p.bias[j];
    add_channels(p.channels + row * p.dense, p.dense, p.dense_weight, p.width, z);
  }
  add_levels(p.levels + row * p.cells, p.cells, p.level_weight, p.width, z);
}

template <class S, class T>
SDV_INLINE void first_rows(const FirstLayer<S, T>& p, int64_t begin, int64_t end, S* work) {
  const int64_t m = p.rows, width = p.width;
  S* __restrict real = work;
  S* __restrict fake = work + width;
  for (int64_t i = begin; i < end; ++i) {
    pre_activation(p, i, real);
    activate(real, p.mask.row(i), width, p.slope, p.h + i * width);
    if (p.groups < 2) continue;
    pre_activation(p, m + i, fake);
    activate(fake, p.mask.row(m + i), width, p.slope, p.h + (m + i) * width);
    if (p.groups < 3) continue;
    const S share = p.share[i * p.share_stride];
    for (int64_t j = 0; j < width; ++j) real[j] = interpolate(real[j], fake[j], share);
    activate(real, p.mask.row(2 * m + i), width, p.slope, p.h + (2 * m + i) * width);
  }
}

// A further hidden layer, in place: h holds the product with the weight, and becomes what the
// layer gives. At the last one (head not null) also the scores and the first reverse signal.
template <class S, class T>
struct Layer {
  int64_t rows, group, width;
  const S* bias;  // null: h is done already
  Mask<S> mask;
  S slope;
  T* h;
  const S* head;
  S head_bias;
  S upstream[3], loss_factor[3], share_of_loss[3];
  S* scores;
  T* a;
  // Sums over each chunk's rows, [chunks, width], or null: of a (the bias's gradient) and of h
  // (the head's).
  S *signal_sums, *head_sums;
};

template <class S, class T>
SDV_INLINE S inner(const T* h, const S* w, int64_t n) {
  constexpr int lanes_count = 4 * kLanes;
  S sum = 0;
  int64_t i = 0;
  S lanes[lanes_count] = {};
  for (; i + lanes_count <= n; i += lanes_count)
    for (int k = 0; k < lanes_count; ++k) lanes[k] += widen(h[i + k]) * w[i + k];
  for (int k = 0; k < lanes_count; ++k) sum += lanes[k];
  for (; i < n; ++i) sum += widen(h[i]) * w[i];
  return sum;
}

// out = g times the slope (and mask) of the layer that gave h; returns nothing, sums += factor out.
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

template <class S>
SDV_INLINE S* chunk_sums(S* sums, int64_t chunk, int64_t width) {
  if (!sums) return nullptr;
  S* own = sums + chunk * width;
  for (int64_t j = 0; j < width; ++j) own[j] = 0;
  return own;
}

template <class S, class T>
SDV_INLINE void layer_chunks(const Layer<S, T>& p, int64_t begin, int64_t end, S* work) {
  const int64_t width = p.width;
  S* __restrict z = work;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* signal_sums = chunk_sums(p.signal_sums, chunk, width);
    S* __restrict head_sums = chunk_sums(p.head_sums, chunk, width);
    const int64_t stop = (chunk + 1) * kChunk < p.rows ? (chunk + 1) * kChunk : p.rows;
    for (int64_t i = chunk * kChunk; i < stop; ++i) {
      T* h = p.h + i * width;
      const S* mask = p.mask.row(i);
      if (p.bias) {
        for (int64_t j = 0; j < width; ++j) z[j] = widen(h[j]) + p.bias[j];
        activate(z, mask, width, p.slope, h);
      }
      if (!p.head) continue;
      const int group = static_cast<int>(i / p.group);
      p.scores[i] = p.head_bias + inner(h, p.head, width);
      back_through(p.head, p.upstream[group], h, mask, p.slope, width, p.a + i * width,
                   p.share_of_loss[group], group < 2 ? signal_sums : nullptr);
      const S c = p.loss_factor[group];
      if (head_sums && c != 0)
        for (int64_t j = 0; j < width; ++j) head_sums[j] += c * widen(h[j]);
    }
  }
}

// Reverse sweep through one layer: a holds the product with the weight above.
template <class S, class T>
SDV_INLINE void reverse_chunks(const Layer<S, T>& p, int64_t begin, int64_t end) {
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* sums = chunk_sums(p.signal_sums, chunk, p.width);
    const int64_t stop = (chunk + 1) * kChunk < p.rows ? (chunk + 1) * kChunk : p.rows;
    for (int64_t i = chunk * kChunk; i < stop; ++i) {
      const int group = static_cast<int>(i / p.group);
      T* a = p.a + i * p.width;
      back_through(a, S(1), p.h + i * p.width, p.mask.row(i), p.slope, p.width, a,
                   p.share_of_loss[group], group < 2 ? sums : nullptr);
    }
  }
}

// Tangents of the penalised rows through one layer. y holds the product below: d G at the first
// layer (then also norms are taken), t_{l-1} W' above. In place y becomes t, and h becomes
// e h + t.
template <class S, class T>
struct Tangent {
  int64_t rows, first, group, width;  // `rows` penalised ones from row `first` on
  Mask<S> mask;
  S slope;
  T *y, *h;
  S share_of_loss[3];
  // First layer only, else null: signals, and what becomes of them.
  const T* d;
  Penalty kind;
  S scale;    // weight / rows per group
  T* pulled;  // kappa d
  S* terms;   // penalty_term of each row
  S* head_sums;  // [chunks, width] or null
};

template <class S, class T>
SDV_INLINE void tangent_chunks(const Tangent<S, T>& p, int64_t begin, int64_t end, S* work) {
  const int64_t width = p.width;
  S* __restrict wide = work;
  for (int64_t chunk = begin; chunk < end; ++chunk) {
    S* __restrict sums = chunk_sums(p.head_sums, chunk, width);
    const int64_t stop = (chunk + 1) * kChunk < p.rows ? (chunk + 1) * kChunk : p.rows;
    for (int64_t i = chunk * kChunk; i < stop; ++i) {
      T* y = p.y + i * width;
      T* h = p.h + (p.first + i) * width;
      S kappa = 1;
      if (p.d) {
        const T* d = p.d + i * width;
        for (int64_t j = 0; j < width; ++j) wide[j] = widen(d[j]);
        const S squared = inner(y, wide, width);
        // Rounding may leave a little below 0; NaN stays.
        const S norm = std::sqrt(squared < 0 ? S(0) : squared);
        p.terms[i] = penalty_term(p.kind, norm);
        kappa = p.scale * penalty_pull(p.kind, norm);
        T* pulled = p.pulled + i * width;
        for (int64_t j = 0; j < width; ++j) narrow(kappa * wide[j], pulled[j]);
      }
      const S* mask = p.mask.row(p.first + i);
      back_through(y, kappa, h, mask, p.slope, width, y, S(1), sums);
      const S e = p.share_of_loss[(p.first + i) / p.group];
      if (e == 0)
        memcpy(h, y, width * sizeof(T));
      else
        for (int64_t j = 0; j < width; ++j) narrow(e * widen(h[j]) + widen(y[j]), h[j]);
    }
  }
}

// Gradient of the level weight: to each level's row the signals of the rows that hold it.
// `order` lists, for every level, its rows in ascending order from `start[level]` on.
template <class S, class T>
struct LevelSums {
  const int32_t *start, *order;
  const T* a;
  int64_t width, group;
  S share_of_loss[2];
  bool add;  // to what is there
  S* gradient;
};

template <class S, class T>
SDV_INLINE void sum_levels(const LevelSums<S, T>& p, int64_t begin, int64_t end) {
  const int64_t width = p.width;
  for (int64_t level = begin; level < end; ++level) {
    int64_t at = p.start[level];
    const int64_t stop = p.start[level + 1];
    S* __restrict out = p.gradient + level * width;
    if (!p.add)
      for (int64_t j = 0; j < width; ++j) out[j] = 0;
    for (; at + 4 <= stop; at += 4) {
      const int32_t r0 = p.order[at], r1 = p.order[at + 1];
      const int32_t r2 = p.order[at + 2], r3 = p.order[at + 3];
      const T *a0 = p.a + r0 * width, *a1 = p.a + r1 * width;
      const T *a2 = p.a + r2 * width, *a3 = p.a + r3 * width;
      const S e0 = p.share_of_loss[r0 >= p.group], e1 = p.share_of_loss[r1 >= p.group];
      const S e2 = p.share_of_loss[r2 >= p.group], e3 = p.share_of_loss[r3 >= p.group];
      for (int64_t j = 0; j < width; ++j)
        out[j] += (e0 * widen(a0[j]) + e1 * widen(a1[j])) + (e2 * widen(a2[j]) + e3 * widen(a3[j]));
    }
    for (; at < stop; ++at) {
      const int32_t r = p.order[at];
      const T* a = p.a + r * width;
      const S e = p.share_of_loss[r >= p.group];
      for (int64_t j = 0; j < width; ++j) out[j] += e * widen(a[j]);
    }
  }
}

// One copy per instruction set and pair of types; the templates above are inlined into each.
#define SDV_INSTANTIATE(S, T, SUFFIX)                                                             \
  SDV_CLONES void convert_##SUFFIX(const S* from, int64_t n, T* to) { convert(from, n, to); }     \
  SDV_CLONES void widen_##SUFFIX(const T* from, int64_t n, bool add, S* to) {                     \
    widen_to(from, n, add, to);                                                                   \
  }                                                                                               \
  SDV_CLONES void first_##SUFFIX(const FirstLayer<S, T>& p, int64_t begin, int64_t end, S* work) {\
    first_rows(p, begin, end, work);                                                              \
  }                                                                                               \
  SDV_CLONES void layer_##SUFFIX(const Layer<S, T>& p, int64_t begin, int64_t end, S* work) {     \
    layer_chunks(p, begin, end, work);                                                            \
  }                                                                                               \
  SDV_CLONES void reverse_##SUFFIX(const Layer<S, T>& p, int64_t begin, int64_t end) {            \
    reverse_chunks(p, begin, end);                                                                \
  }                                                                                               \
  SDV_CLONES void tangent_##SUFFIX(const Tangent<S, T>& p, int64_t begin, int64_t end, S* work) { \
    tangent_chunks(p, begin, end, work);                                                          \
  }                                                                                               \
  SDV_CLONES void sums_##SUFFIX(const LevelSums<S, T>& p, int64_t begin, int64_t end) {           \
    sum_levels(p, begin, end);                                                                    \
  }                                                                                               \
  template <>                                                                                     \
  struct Kernels<S, T> {                                                                          \
    static constexpr auto convert = convert_##SUFFIX;                                             \
    static constexpr auto widen = widen_##SUFFIX;                                                 \
    static constexpr auto first = first_##SUFFIX;                                                 \
    static constexpr auto layer = layer_##SUFFIX;                                                 \
    static constexpr auto reverse = reverse_##SUFFIX;                                             \
    static constexpr auto tangent = tangent_##SUFFIX;                                             \
    static constexpr auto sums = sums_##SUFFIX;                                                   \
  };

template <class S, class T>
struct Kernels;
SDV_INSTANTIATE(float, float, float)
SDV_INSTANTIATE(float, bfloat16, bfloat16)
SDV_INSTANTIATE(double, double, double)

// --- the sweeps ---------------------------------------------------------------------------------

// The real and fake rows' levels as int32 one after the other.
void read_levels(const char* op, const char* name, const Tensor& tensor, int64_t levels,
                 int32_t* to) {
  const Rows<int64_t> rows(tensor);
  const int64_t cells = tensor.size(1);
  for (int64_t i = 0; i < tensor.size(0); ++i)
    for (int64_t c = 0; c < cells; ++c) {
      const int64_t level = rows.data[i * rows.stride + c];
      SDV_CHECK(level >= 0 && level < levels, op, ": ", name, "[", i, ", ", c, "] is ", level,
                ", but there are ", levels, " levels");
      to[i * cells + c] = static_cast<int32_t>(level);
    }
}

template <class S>
void read_channels(const Tensor& tensor, S* to) {
  const Rows<S> rows(tensor);
  const int64_t width = tensor.size(1);
  for (int64_t i = 0; i < tensor.size(0); ++i)
    std::copy_n(rows.data + i * rows.stride, width, to + i * width);
}

template <class S, class T>
struct Sweeps {
  const Critic& critic;
  Scratch& memory;
  std::vector<Tensor> held;            // the parameters, contiguous
  std::vector<const S*> parameters;
  std::vector<Matrix<const T>> weights;  // of the hidden layers after the first, as T
  std::vector<Mask<S>> masks;
  std::vector<T*> h, a;
  S slope;

  Sweeps(const Critic& critic, Scratch& memory, const std::vector<Tensor>& given, double slope)
      : critic(critic), memory(memory), masks(critic.depth()), slope(static_cast<S>(slope)) {
    for (const Tensor& parameter : given) {
      held.push_back(torch::stable::contiguous(parameter));
      parameters.push_back(held.back().template const_data_ptr<S>());
    }
    for (size_t l = 1; l < critic.depth(); ++l)
      weights.push_back(as_operand(parameters[2 * l + 1], critic.width(l), critic.width(l - 1)));
  }

  const S* head() const { return parameters[parameters.size() - 2]; }
  S head_bias() const { return parameters.back()[0]; }

  // A matrix in the type of products: itself, or a copy.
  Matrix<const T> as_operand(const S* from, int64_t rows, int64_t columns) {
    if constexpr (std::is_same_v<S, T>) {
      return matrix(from, rows, columns);
    } else {
      T* to = memory.take<T>(rows * columns);
      Kernels<S, T>::convert(from, rows * columns, to);
      return matrix<const T>(to, rows, columns);
    }
  }

  // A product whose result is wanted in S: done in T, so via a copy where they differ.
  void multiply_to(S* out, int64_t rows, int64_t columns, Matrix<const T> x, Matrix<const T> y,
                   bool add = false) {
    if constexpr (std::is_same_v<S, T>) {
      multiply(matrix(out, rows, columns), x, y, add);
    } else {
      T* product = memory.take<T>(rows * columns);
      multiply(matrix(product, rows, columns), x, y);
      Kernels<S, T>::widen(product, rows * columns, add, out);
    }
  }

  void allocate(int64_t rows) {
    for (int64_t width : critic.hidden) {
      h.push_back(memory.take<T>(rows * width));
      a.push_back(memory.take<T>(rows * width));
    }
  }

  void first(const int32_t* levels, const S* channels, int64_t groups, const S* share,
             int64_t share_stride) {
    FirstLayer<S, T> p{};
    p.rows = critic.rows, p.cells = critic.cells, p.dense = critic.dense;
    p.width = critic.width(0), p.groups = groups;
    p.levels = levels, p.channels = channels;
    p.level_weight = parameters[0], p.dense_weight = parameters[1], p.bias = parameters[2];
    p.share = share, p.share_stride = share_stride;
    p.mask = masks[0], p.slope = slope, p.h = h[0];
    if (p.dense > kDenseInLoop) {
      const int64_t rows = std::min<int64_t>(groups, 2) * p.rows;
      S* product = memory.take<S>(rows * p.width);
      multiply(matrix(product, rows, p.width), matrix(channels, rows, p.dense),
               matrix(p.dense_weight, p.dense, p.width));
      p.multiplied = product;
    }
    const int64_t cost = (p.cells + p.dense + 1) * p.width;
    torch::stable::parallel_for(0, p.rows, rows_per_thread(cost), [&](int64_t begin, int64_t end) {
      std::vector<S> work(2 * p.width);
      Kernels<S, T>::first(p, begin, end, work.data());
    });
  }

  Layer<S, T> layer(size_t l, int64_t rows, const RowPlan& plan) const {
    Layer<S, T> p{};
    p.rows = rows, p.group = critic.rows, p.width = critic.width(l);
    p.mask = masks[l], p.slope = slope, p.h = h[l], p.a = a[l];
    for (int g = 0; g < 3; ++g) {
      p.upstream[g] = static_cast<S>(plan.upstream[g]);
      p.loss_factor[g] = static_cast<S>(plan.loss_factor[g]);
      p.share_of_loss[g] = static_cast<S>(plan.share_of_loss[g]);
    }
    return p;
  }

  template <class Work>
  static void in_chunks(int64_t rows, int64_t width, Work work) {
    const int64_t chunks = chunk_count(rows);
    const int64_t grain = std::max<int64_t>(rows_per_thread(width) / kChunk, 1);
    torch::stable::parallel_for(0, chunks, grain, work);
  }
  static int64_t chunk_count(int64_t rows) { return (rows + kChunk - 1) / kChunk; }

  // Forward through the further layers, and the reverse signal at the last one.
  void forward(int64_t rows, const RowPlan& plan, S* scores, S* signal_sums, S* head_sums) {
    const size_t last = critic.depth() - 1;
    for (size_t l = 0; l <= last; ++l) {
      if (l == 0 && l != last) continue;
      Layer<S, T> p = layer(l, rows, plan);
      if (l > 0) {
        multiply(matrix(h[l], rows, p.width), matrix<const T>(h[l - 1], rows, critic.width(l - 1)),
                 weights[l - 1].transposed());
        p.bias = parameters[2 * l + 2];
      }
      if (l == last) {
        p.head = head(), p.head_bias = head_bias();
        p.scores = scores;
        p.signal_sums = signal_sums, p.head_sums = head_sums;
      }
      in_chunks(rows, p.width, [&](int64_t begin, int64_t end) {
        std::vector<S> work(p.width);
        Kernels<S, T>::layer(p, begin, end, work.data());
      });
    }
  }

  // Reverse signal of layer l from that of the one above; sums as in Layer.
  void reverse(size_t l, int64_t rows, const RowPlan& plan, S* signal_sums) {
    Layer<S, T> p = layer(l, rows, plan);
    p.signal_sums = signal_sums;
    multiply(matrix(a[l], rows, p.width), matrix<const T>(a[l + 1], rows, critic.width(l + 1)),
             weights[l]);
    in_chunks(rows, p.width,
              [&](int64_t begin, int64_t end) { Kernels<S, T>::reverse(p, begin, end); });
  }

  // Adds the chunks' sums in their order.
  void add_chunks(const S* sums, int64_t rows, int64_t width, bool add, S* out) const {
    if (!add) std::fill_n(out, width, S(0));
    for (int64_t chunk = 0; chunk < chunk_count(rows); ++chunk)
      Kernels<S, S>::widen(sums + chunk * width, width, true, out);
  }
};

// start [levels + 1] and order as in LevelSums: a counting sort, stable, so rows ascend.
void sort_by_level(const int32_t* levels, int64_t rows, int64_t cells, int64_t count,
                   int32_t* start, int32_t* order) {
  std::fill_n(start, count + 1, 0);
  for (int64_t i = 0; i < rows * cells; ++i) ++start[levels[i]];
  int32_t before = 0;
  for (int64_t level = 0; level <= count; ++level) {
    const int32_t size = level < count ? start[level] : 0;
    start[level] = before;
    before += size;
  }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < cells; ++c)
      order[start[levels[i * cells + c]]++] = static_cast<int32_t>(i);
  for (int64_t level = count; level > 0; --level) start[level] = start[level - 1];
  start[0] = 0;
}

template <class S, class T>
Tensor run_step(const Critic& critic, const Tensor& real_levels, const Tensor& real_dense,
                const Tensor& fake_levels, const Tensor& fake_dense,
                const std::optional<Tensor>& share, const std::vector<Tensor>& parameters,
                const std::vector<Tensor>& masks, double slope, Penalty kind, double weight,
                std::vector<Tensor>& gradients) {
  const char* op = "critic_step";
  const RowPlan plan(kind, critic.rows);
  const int64_t m = critic.rows, rows = plan.rows, width = critic.width(0);
  const size_t depth = critic.depth();
  Scratch& memory = scratch();
  Sweeps<S, T> sweeps(critic, memory, parameters, slope);
  std::vector<S*> gradient;
  for (Tensor& tensor : gradients) gradient.push_back(tensor.mutable_data_ptr<S>());
  std::vector<Rows<S>> held_masks;
  held_masks.reserve(depth);
  for (size_t l = 0; l < masks.size(); ++l) {
    held_masks.emplace_back(masks[l]);
    sweeps.masks[l] = {held_masks[l].data, held_masks[l].stride};
  }
  sweeps.allocate(rows);

  // Rows, and which rows hold each level.
  int32_t* levels = memory.take<int32_t>(2 * m * critic.cells);
  read_levels(op, "real_levels", real_levels, critic.levels, levels);
  read_levels(op, "fake_levels", fake_levels, critic.levels, levels + m * critic.cells);
  S* channels = memory.take<S>(2 * m * critic.dense);
  read_channels(real_dense, channels);
  read_channels(fake_dense, channels + m * critic.dense);
  int32_t* start = memory.take<int32_t>(critic.levels + 1);
  int32_t* order = memory.take<int32_t>(2 * m * critic.cells);
  sort_by_level(levels, 2 * m, critic.cells, critic.levels, start, order);

  // Forward, and the reverse sweep with the biases' gradients.
  const int64_t chunks = sweeps.chunk_count(rows);
  S* sums = memory.take<S>(chunks * critic.widest());
  S* head_sums = memory.take<S>(chunks * critic.widest());
  S* scores = memory.take<S>(rows);
  sweeps.first(levels, channels, plan.groups,
               plan.groups == 3 ? share->const_data_ptr<S>() : nullptr,
               plan.groups == 3 ? share->stride(0) : 0);
  sweeps.forward(rows, plan, scores, sums, head_sums);
  const auto bias_gradient = [&](size_t l) {
    sweeps.add_chunks(sums, rows, critic.width(l), false, gradient[2 * l + 2]);
  };
  bias_gradient(depth - 1);
  S* head_gradient = gradient[2 * depth + 1];
  sweeps.add_chunks(head_sums, rows, critic.width(depth - 1), false, head_gradient);
  gradient[2 * depth + 2][0] = 0;  // the loss is a difference of scores
  for (size_t l = depth - 1; l-- > 0;) {
    sweeps.reverse(l, rows, plan, sums);
    bias_gradient(l);
  }
  double loss = 0;
  for (int64_t i = 0; i < m; ++i) loss += static_cast<double>(scores[m + i]) - scores[i];
  loss /= m;

  // The penalty: norms and tangents from the Gram matrix of the first layer's weights, G = W' W.
  const int64_t penalised = plan.penalised(), first = plan.penalised_begin;
  const Matrix<const S> level_weight = matrix(sweeps.parameters[0], critic.levels, width);
  const Matrix<const S> dense_weight = matrix(sweeps.parameters[1], critic.dense, width);
  const int64_t block = std::max<int64_t>(kBlock / width, 1);
  double penalty = 0;
  S* outer = nullptr;  // d' diag(kappa) d, [width, width]
  if (penalised > 0) {
    S* gram = memory.take<S>(width * width);
    bool begun = false;
    for (int64_t at = 0; at < critic.levels; at += block) {
      const auto part = level_weight.row_range(at, std::min(at + block, critic.levels));
      multiply(matrix(gram, width, width), part.transposed(), part, begun);
      begun = true;
    }
    if (critic.dense > 0 || !begun)
      multiply(matrix(gram, width, width), dense_weight.transposed(), dense_weight, begun);
    const auto d = matrix<const T>(sweeps.a[0] + first * width, penalised, width);
    T* y = memory.take<T>(penalised * critic.widest());
    T* pulled = memory.take<T>(penalised * width);
    S* terms = memory.take<S>(penalised);
    multiply(matrix(y, penalised, width), d, sweeps.as_operand(gram, width, width));
    for (size_t l = 0; l < depth; ++l) {
      Tangent<S, T> p{};
      p.rows = penalised, p.first = first, p.group = m, p.width = critic.width(l);
      p.mask = sweeps.masks[l], p.slope = sweeps.slope, p.y = y, p.h = sweeps.h[l];
      for (int g = 0; g < 3; ++g) p.share_of_loss[g] = static_cast<S>(plan.share_of_loss[g]);
      if (l == 0) {
        p.d = d.data, p.kind = kind, p.scale = static_cast<S>(weight / m);
        p.pulled = pulled, p.terms = terms;
      }
      if (l + 1 == depth) p.head_sums = head_sums;
      sweeps.in_chunks(penalised, p.width, [&](int64_t begin, int64_t end) {
        std::vector<S> work(p.width);
        Kernels<S, T>::tangent(p, begin, end, work.data());
      });
      if (l + 1 == depth) {
        sweeps.add_chunks(head_sums, penalised, p.width, true, head_gradient);
      } else {
        T* next = memory.take<T>(penalised * critic.width(l + 1));
        multiply(matrix(next, penalised, critic.width(l + 1)),
                 matrix<const T>(y, penalised, p.width), sweeps.weights[l].transposed());
        y = next;
      }
    }
    for (int64_t i = 0; i < penalised; ++i) penalty += terms[i];
    penalty *= weight / m;
    outer = memory.take<S>(width * width);
    sweeps.multiply_to(outer, width, width,
                       matrix<const T>(pulled, penalised, width).transposed(), d);
  }

  // Gradients of the weights; at penalised rows h is now what serves loss and penalty together.
  for (size_t l = 1; l < depth; ++l)
    sweeps.multiply_to(gradient[2 * l + 1], critic.width(l), critic.width(l - 1),
                       matrix<const T>(sweeps.a[l], rows, critic.width(l)).transposed(),
                       matrix<const T>(sweeps.h[l - 1], rows, critic.width(l - 1)));

  LevelSums<S, T> p{};
  p.start = start, p.order = order, p.a = sweeps.a[0], p.width = width, p.group = m;
  for (int g = 0; g < 2; ++g) p.share_of_loss[g] = static_cast<S>(plan.share_of_loss[g]);
  p.add = outer != nullptr, p.gradient = gradient[0];
  for (int64_t at = 0; at < critic.levels; at += block) {
    const int64_t stop = std::min(at + block, critic.levels);
    if (outer)
      multiply(matrix(gradient[0] + at * width, stop - at, width),
               level_weight.row_range(at, stop), matrix<const S>(outer, width, width));
    const int64_t cost = (1 + (start[stop] - start[at]) / (stop - at)) * width;
    torch::stable::parallel_for(
        at, stop, rows_per_thread(cost),
        [&](int64_t begin, int64_t end) { Kernels<S, T>::sums(p, begin, end); });
  }
  if (critic.dense > 0) {
    if (outer)
      multiply(matrix(gradient[1], critic.dense, width), dense_weight,
               matrix<const S>(outer, width, width));
    for (int64_t i = 0; i < 2 * m; ++i) {
      const S e = p.share_of_loss[i >= m];
      if (e != 1)
        for (int64_t c = 0; c < critic.dense; ++c) channels[i * critic.dense + c] *= e;
    }
    sweeps.multiply_to(gradient[1], critic.dense, width,
                       sweeps.as_operand(channels, 2 * m, critic.dense).transposed(),
                       matrix<const T>(sweeps.a[0], 2 * m, width), outer != nullptr);
  }

  Tensor losses = torch::stable::new_empty(parameters[0], {2});
  S* values = losses.mutable_data_ptr<S>();
  values[0] = static_cast<S>(loss);
  values[1] = static_cast<S>(penalty);
  return losses;
}

Tensor critic_step(Tensor real_levels, Tensor real_dense, Tensor fake_levels, Tensor fake_dense,
                   std::optional<Tensor> share, std::vector<Tensor> parameters,
                   std::vector<Tensor> masks, double slope, std::string penalty, double weight,
                   bool bfloat16, std::vector<Tensor> gradients) {
  Penalty kind;
  const Critic critic = check_step(real_levels, real_dense, fake_levels, fake_dense, share,
                                   parameters, masks, slope, penalty, weight, bfloat16, gradients,
                                   kind);
  const auto run = parameters[0].scalar_type() == ScalarType::Double
                       ? run_step<double, double>
                       : bfloat16 ? run_step<float, sdv_wgangp::bfloat16> : run_step<float, float>;
  return run(critic, real_levels, real_dense, fake_levels, fake_dense, share, parameters, masks,
             slope, kind, weight, gradients);
}

// --- gradient at the rows -----------------------------------------------------------------------

template <class S, class T>
std::tuple<Tensor, Tensor, Tensor> run_row_gradient(const Critic& critic, const Tensor& levels,
                                                    const Tensor& dense,
                                                    const std::vector<Tensor>& parameters,
                                                    double slope) {
  const int64_t m = critic.rows, width = critic.width(0);
  // A loss of -mean f over rows that stand where the real ones do.
  const RowPlan plan(Penalty::none, m);
  Scratch& memory = scratch();
  Sweeps<S, T> sweeps(critic, memory, parameters, slope);
  sweeps.allocate(m);
  int32_t* held = memory.take<int32_t>(m * critic.cells);
  read_levels("critic_row_gradient", "levels", levels, critic.levels, held);
  S* channels = memory.take<S>(m * critic.dense);
  read_channels(dense, channels);
  S* scores = memory.take<S>(m);
  sweeps.first(held, channels, 1, nullptr, 0);
  sweeps.forward(m, plan, scores, nullptr, nullptr);
  for (size_t l = critic.depth() - 1; l-- > 0;) sweeps.reverse(l, m, plan, nullptr);
  double loss = 0;
  for (int64_t i = 0; i < m; ++i) loss -= scores[i];

  // The last product in S: its result is as large as the rows, too large to be copied.
  const S* signal;
  if constexpr (std::is_same_v<S, T>) {
    signal = sweeps.a[0];
  } else {
    S* wide = memory.take<S>(m * width);
    Kernels<S, T>::widen(sweeps.a[0], m * width, false, wide);
    signal = wide;
  }
  Tensor value = torch::stable::new_empty(parameters[0], {});
  value.mutable_data_ptr<S>()[0] = static_cast<S>(loss / m);
  Tensor to_levels = torch::stable::new_empty(parameters[0], {m, critic.levels});
  Tensor to_dense = torch::stable::new_empty(parameters[0], {m, critic.dense});
  const Matrix<const S> from = matrix(signal, m, width);
  multiply(matrix(to_levels.mutable_data_ptr<S>(), m, critic.levels), from,
           matrix(sweeps.parameters[0], critic.levels, width).transposed());
  multiply(matrix(to_dense.mutable_data_ptr<S>(), m, critic.dense), from,
           matrix(sweeps.parameters[1], critic.dense, width).transposed());
  return {value, to_levels, to_dense};
}

std::tuple<Tensor, Tensor, Tensor> critic_row_gradient(Tensor levels, Tensor dense,
                                                       std::vector<Tensor> parameters,
                                                       double slope, bool bfloat16) {
  const char* op = "critic_row_gradient";
  Critic critic = check_critic(op, parameters, slope, bfloat16);
  check_rows(op, critic, "levels", levels, "dense", dense, parameters[0]);
  const auto run = parameters[0].scalar_type() == ScalarType::Double
                       ? run_row_gradient<double, double>
                       : bfloat16 ? run_row_gradient<float, sdv_wgangp::bfloat16>
                                  : run_row_gradient<float, float>;
  return run(critic, levels, dense, parameters, slope);
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("critic_step", TORCH_BOX(&sdv_wgangp::critic_step));
  m.impl("critic_row_gradient", TORCH_BOX(&sdv_wgangp::critic_row_gradient));
}
