// The passes of the critic's operators (critic_sweeps.h) on CUDA.
//
// A thread block owns one row and its threads walk along the row, neighbours side by side, so
// that every access to a matrix is to adjacent memory. Nothing waits for the host and every size
// is known to it, so a whole step can be captured in a CUDA graph. Sums over rows are done by
// blocks of their own in a fixed order; only the gradient of the level weight is added up with
// atomics, whose order is not fixed.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <cassert>

#include "../critic_sweeps.h"
#include "device.h"
#include "products.h"

namespace sdv_wgangp {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1 << 20;
constexpr unsigned kAll = 0xffffffffu;

// The sum over the block's threads, for all of them.
template <class S>
__device__ S block_sum(S value) {
  __shared__ S partial[kThreads / kWarp];
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAll, value, distance);
  __syncthreads();  // the last use of `partial` is over
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = 0;
  for (int warp = 0; warp < static_cast<int>(blockDim.x) / kWarp; ++warp) value += partial[warp];
  return value;
}

template <class S, class T>
__global__ void convert_kernel(const S* from, int64_t count, T* to) {
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    narrow(from[i], to[i]);
}

template <class S, class T>
__global__ void widen_kernel(const T* from, int64_t count, bool add, S* to) {
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    to[i] = (add ? to[i] : S(0)) + widen(from[i]);
}

template <class S, class T>
__device__ S pre_activation(const FirstLayer<S, T>& p, int group, int64_t i, int64_t j) {
  const Inputs<S>& in = p.inputs;
  S z = p.bias[j];
  if (p.multiplied) {
    z += p.multiplied[(group * in.rows + i) * p.width + j];
  } else {
    const S* x = in.channel[group] + i * in.channel_stride[group];
    for (int64_t c = 0; c < in.dense; ++c) z += x[c] * p.dense_weight[c * p.width + j];
  }
  const int64_t* levels = in.level[group] + i * in.level_stride[group];
  for (int64_t c = 0; c < in.cells; ++c) {
    const int64_t level = levels[c];
    assert(0 <= level && level < in.levels && "levels must be those of the level weight");
    z += p.level_weight[level * p.width + j];
  }
  return z;
}

template <class S, class T>
__device__ void activate(S z, const S* mask, S slope, int64_t j, T* h) {
  const S value = leaky(z, slope);
  narrow(mask ? value * mask[j] : value, h[j]);
}

template <class S, class T>
__global__ void first_kernel(FirstLayer<S, T> p) {
  const int64_t m = p.inputs.rows;
  for (int64_t i = blockIdx.x; i < m; i += gridDim.x) {
    const S epsilon = p.groups == 3 ? p.epsilon[i * p.epsilon_stride] : S(0);
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      const S real = pre_activation(p, 0, i, j);
      activate(real, p.mask.row(i), p.slope, j, p.h + i * p.width);
      if (p.groups < 2) continue;
      const S fake = pre_activation(p, 1, i, j);
      activate(fake, p.mask.row(m + i), p.slope, j, p.h + (m + i) * p.width);
      if (p.groups < 3) continue;
      activate(interpolate(real, fake, epsilon), p.mask.row(2 * m + i), p.slope, j,
               p.h + (2 * m + i) * p.width);
    }
  }
}

// What goes back through a unit that gave h.
template <class S, class T>
__device__ S back_through(S g, T h, const S* mask, S slope, int64_t j) {
  const S value = g * leaky_slope(widen(h), slope);
  return mask ? value * mask[j] : value;
}

template <class S, class T>
__global__ void forward_kernel(ForwardLayer<S, T> p) {
  for (int64_t i = blockIdx.x; i < p.rows; i += gridDim.x) {
    T* h = p.h + i * p.width;
    const S* mask = p.mask.row(i);
    const S upstream = p.factors.upstream(i);
    S score = 0;
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      if (p.bias) activate(widen(h[j]) + p.bias[j], mask, p.slope, j, h);
      if (!p.head) continue;
      score += widen(h[j]) * p.head[j];
      if (p.a)
        narrow(back_through(upstream * p.head[j], h[j], mask, p.slope, j), p.a[i * p.width + j]);
    }
    if (!p.head) continue;  // the same for all threads
    score = block_sum(score);
    if (threadIdx.x == 0) p.scores[i] = score + *p.head_bias;
  }
}

template <class S, class T>
__global__ void reverse_kernel(ReverseLayer<S, T> p) {
  for (int64_t i = blockIdx.x; i < p.rows; i += gridDim.x)
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      T& a = p.a[i * p.width + j];
      narrow(back_through(S(widen(a)), p.h[i * p.width + j], p.mask.row(i), p.slope, j), a);
    }
}

template <class S, class T>
__global__ void tangent_kernel(TangentLayer<S, T> p) {
  for (int64_t i = blockIdx.x; i < p.rows; i += gridDim.x) {
    T* y = p.y + i * p.width;
    T* h = p.h + (p.first + i) * p.width;
    const S* mask = p.mask.row(p.first + i);
    const S e = p.factors.signal_factor(p.first + i);
    S kappa = 1;
    if (p.d) {
      const T* d = p.d + i * p.width;
      S squared = 0;
      for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x)
        squared += widen(y[j]) * widen(d[j]);
      const S norm = gradient_norm(block_sum(squared));
      kappa = p.scale * penalty_pull(p.kind, norm);
      if (threadIdx.x == 0) p.terms[i] = penalty_term(p.kind, norm);
      for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x)
        narrow(kappa * widen(d[j]), p.pulled[i * p.width + j]);
    }
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      const S t = back_through(kappa * widen(y[j]), h[j], mask, p.slope, j);
      narrow(t, y[j]);
      narrow(e == 0 ? t : e * widen(h[j]) + t, h[j]);
    }
  }
}

// What the rows of a sum are multiplied by: their c, their e, or nothing.
template <class S>
struct LossFactor {
  RowFactors<S> factors;
  __device__ S operator()(int64_t i) const { return factors.loss_factor(i); }
};
template <class S>
struct SignalFactor {
  RowFactors<S> factors;
  __device__ S operator()(int64_t i) const { return factors.signal_factor(i); }
};
template <class S>
struct One {
  __device__ S operator()(int64_t) const { return 1; }
};

// Sums over rows of x, each row times its factor: out[j] (+)= sum_i factor(i) x[i][j].
// A thread block owns 32 columns; its warps share the rows, and their sums are added in the
// order of the warps.
template <class S, class T, class Factor>
__global__ void column_sums_kernel(const T* x, int64_t rows, int64_t width, Factor factor,
                                   bool add, S* out) {
  __shared__ S partial[kThreads / kWarp][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t j = int64_t(blockIdx.x) * kWarp + lane;
  S sum = 0;
  if (j < width)
    for (int64_t i = warp; i < rows; i += kThreads / kWarp)
      sum += factor(i) * widen(x[i * width + j]);
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp > 0 || j >= width) return;
  sum = add ? out[j] : S(0);
  for (int w = 0; w < kThreads / kWarp; ++w) sum += partial[w][lane];
  out[j] = sum;
}

// gradient[level] += e a for every cell of every row.
template <class S, class T>
__global__ void levels_kernel(FirstGradient<S, T> p) {
  const int64_t m = p.inputs.rows;
  for (int64_t i = blockIdx.x; i < 2 * m; i += gridDim.x) {
    const int group = i >= m;
    const int64_t* levels = p.inputs.level[group] + (i - group * m) * p.inputs.level_stride[group];
    const S e = p.factors.signal_factor(i);
    for (int64_t j = threadIdx.x; j < p.width; j += blockDim.x) {
      const S value = e * widen(p.a[i * p.width + j]);
      for (int64_t c = 0; c < p.inputs.cells; ++c)
        atomicAdd(p.level_gradient + levels[c] * p.width + j, value);
    }
  }
}

template <class S, class T>
__global__ void channels_kernel(Inputs<S> inputs, RowFactors<S> factors, T* to) {
  const int64_t count = 2 * inputs.rows * inputs.dense;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t k = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; k < count; k += stride) {
    const int64_t row = k / inputs.dense, c = k - row * inputs.dense;
    const int group = row >= inputs.rows;
    const int64_t i = row - group * inputs.rows;
    narrow(
        factors.signal_factor(row) * inputs.channel[group][i * inputs.channel_stride[group] + c],
        to[k]);
  }
}

// One block: loss and penalty. `terms` may be null.
template <class S>
__global__ void losses_kernel(const S* scores, int64_t rows, const S* terms, int64_t penalised,
                              double scale, S* to) {
  double loss = 0, penalty = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x)
    loss += static_cast<double>(scores[rows + i]) - static_cast<double>(scores[i]);
  for (int64_t i = threadIdx.x; i < penalised; i += blockDim.x)
    penalty += static_cast<double>(terms[i]);
  loss = block_sum(loss);
  penalty = block_sum(penalty);
  if (threadIdx.x > 0) return;
  to[0] = static_cast<S>(loss / rows);
  to[1] = static_cast<S>(penalty * scale);
}

template <class S>
__global__ void minus_mean_kernel(const S* scores, int64_t rows, S* to) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) sum -= static_cast<double>(scores[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) *to = static_cast<S>(sum / rows);
}

template <class S>
__global__ void total_kernel(const S* from, int64_t count, S* to) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) sum += static_cast<double>(from[i]);
  sum = block_sum(sum);
  if (threadIdx.x == 0) *to = static_cast<S>(sum);
}

// --- the device ---------------------------------------------------------------------------------

class Cuda : public CudaDevice {
 public:
  explicit Cuda(const Tensor& like)
      : CudaDevice(like),
        device_(torch::headeronly::DeviceType::CUDA,
                static_cast<torch::stable::DeviceIndex>(like.get_device_index())) {}

  // out = a b, or out += a b. Products of bfloat16 may go to float32, rounded on the way.
  template <class O, class A, class B>
  void multiply(Matrix<O> out, Matrix<A> a, Matrix<B> b, bool add = false) {
    if (out.rows == 0 || out.columns == 0) return;
    using Operand = std::remove_const_t<A>;
    if constexpr (!std::is_same_v<Operand, O>) {
      auto* product = take<Operand>(out.rows * out.columns);
      multiply(matrix(product, out.rows, out.columns), a, b);
      widen(product, out.rows * out.columns, add, out.data);
    } else {
      const Tensor to = out.tensor(device_), x = a.tensor(device_), y = b.tensor(device_);
      multiply_by_torch(to, x, y, add);
    }
  }

  bool widens_products() const { return false; }

  // levels' levels + dense' dense as an operand.
  template <class S, class T>
  Matrix<const T> gram(Matrix<const S> levels, Matrix<const S> dense) {
    const int64_t width = levels.columns;
    const auto sum = matrix(take<S>(width * width), width, width);
    multiply(sum, levels.transposed(), levels);
    if (dense.rows > 0) multiply(sum, dense.transposed(), dense, true);
    if constexpr (std::is_same_v<S, T>) {
      return matrix<const T>(sum.data, width, width);
    } else {
      T* operand = take<T>(width * width);
      convert(sum.data, width * width, operand);
      return matrix<const T>(operand, width, width);
    }
  }

  template <class S, class T>
  void convert(const S* from, int64_t count, T* to) {
    if (count == 0) return;
    convert_kernel<<<blocks_for(count), kThreads, 0, stream_>>>(from, count, to);
    check_launch("critic");
  }
  template <class S, class T>
  void widen(const T* from, int64_t count, bool add, S* to) {
    if (count == 0) return;
    widen_kernel<<<blocks_for(count), kThreads, 0, stream_>>>(from, count, add, to);
    check_launch("critic");
  }

  // The kernels check, where the values are.
  template <class S>
  void check_levels(const char*, const char*, const Inputs<S>&, int) {}

  template <class S, class T>
  void first(const FirstLayer<S, T>& p) {
    first_kernel<<<blocks(p.inputs.rows), threads(p.width), 0, stream_>>>(p);
    check_launch("critic");
  }

  template <class S, class T>
  void forward(const ForwardLayer<S, T>& p) {
    forward_kernel<<<blocks(p.rows), threads(p.width), 0, stream_>>>(p);
    check_launch("critic");
    const int64_t in_loss = std::min(p.rows, 2 * p.factors.group);
    if (p.bias_gradient)
      column_sums(p.a, in_loss, p.width, SignalFactor<S>{p.factors}, false, p.bias_gradient);
    if (p.head_gradient)
      column_sums(p.h, in_loss, p.width, LossFactor<S>{p.factors}, false, p.head_gradient);
  }

  template <class S, class T>
  void reverse(const ReverseLayer<S, T>& p) {
    reverse_kernel<<<blocks(p.rows), threads(p.width), 0, stream_>>>(p);
    check_launch("critic");
    if (p.bias_gradient)
      column_sums(p.a, std::min(p.rows, 2 * p.factors.group), p.width, SignalFactor<S>{p.factors},
                  false, p.bias_gradient);
  }

  template <class S, class T>
  void tangent(const TangentLayer<S, T>& p) {
    tangent_kernel<<<blocks(p.rows), threads(p.width), 0, stream_>>>(p);
    check_launch("critic");
    if (p.head_gradient) column_sums(p.y, p.rows, p.width, One<S>{}, true, p.head_gradient);
  }

  template <class S, class T>
  void first_gradient(const FirstGradient<S, T>& p) {
    const int64_t levels = p.inputs.levels, dense = p.inputs.dense, width = p.width;
    if (p.outer) {
      // In S, as a product in T of as many rows as there are levels would have to be copied.
      const S* of_sums;
      if constexpr (std::is_same_v<S, T>) {
        of_sums = p.outer;
      } else {
        S* copy = take<S>(width * width);
        widen(p.outer, width * width, false, copy);
        of_sums = copy;
      }
      const auto outer = matrix(of_sums, width, width);
      multiply(matrix(p.level_gradient, levels, width), matrix(p.level_weight, levels, width),
               outer);
      multiply(matrix(p.dense_gradient, dense, width), matrix(p.dense_weight, dense, width),
               outer);
    } else {
      zero(p.level_gradient, levels * width);
    }
    if (p.inputs.cells == 0) return;
    levels_kernel<<<blocks(2 * p.inputs.rows), threads(width), 0, stream_>>>(p);
    check_launch("critic");
  }

  template <class S, class T>
  void scale_channels(const Inputs<S>& inputs, const RowFactors<S>& factors, T* to) {
    const unsigned count = blocks_for(2 * inputs.rows * inputs.dense);
    channels_kernel<<<count, kThreads, 0, stream_>>>(inputs, factors, to);
    check_launch("critic");
  }

  template <class S>
  void losses(const S* scores, int64_t rows, const S* terms, int64_t penalised, double scale,
              S* to) {
    losses_kernel<<<1, kThreads, 0, stream_>>>(scores, rows, terms, penalised, scale, to);
    check_launch("critic");
  }

  template <class S>
  void minus_mean(const S* scores, int64_t rows, S* to) {
    minus_mean_kernel<<<1, kThreads, 0, stream_>>>(scores, rows, to);
    check_launch("critic");
  }

  template <class S>
  void total(const S* from, int64_t count, S* to) {
    total_kernel<<<1, kThreads, 0, stream_>>>(from, count, to);
    check_launch("critic");
  }

 private:
  // A block for each row, whole warps along it; the kernels loop over what is beyond.
  static unsigned blocks(int64_t rows) {
    return static_cast<unsigned>(std::min<int64_t>(rows, kMaxBlocks));
  }
  static unsigned threads(int64_t width) {
    const int64_t warps = (width + kWarp - 1) / kWarp;
    return static_cast<unsigned>(std::min<int64_t>(warps * kWarp, kThreads));
  }
  static unsigned blocks_for(int64_t count) {
    return static_cast<unsigned>(std::min<int64_t>((count + kThreads - 1) / kThreads, kMaxBlocks));
  }

  template <class S, class T, class Factor>
  void column_sums(const T* x, int64_t rows, int64_t width, Factor factor, bool add, S* out) {
    const auto count = static_cast<unsigned>((width + kWarp - 1) / kWarp);
    column_sums_kernel<<<count, kThreads, 0, stream_>>>(x, rows, width, factor, add, out);
    check_launch("critic");
  }

  const torch::stable::Device device_;
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("critic_step", TORCH_BOX(&sdv_wgangp::critic_step<sdv_wgangp::Cuda>));
  m.impl("critic_row_gradient", TORCH_BOX(&sdv_wgangp::critic_row_gradient<sdv_wgangp::Cuda>));
  m.impl("critic_scores", TORCH_BOX(&sdv_wgangp::critic_scores<sdv_wgangp::Cuda>));
}
