// Softmax, its backward, and exact sampling over the ragged blocks of a row, on CUDA.
//
// Same operators, same formulas and same conventions as cpu/column_softmax.cpp. A team of threads
// (teams.h) owns one block of one row, i.e. one (row, column) pair.
//
// Neighbouring threads read neighbouring logits, and nothing here waits for the host: the
// operators can be captured in a CUDA graph. The values of `offsets` are therefore checked
// by the device, like torch's own index checks, and not by an exception.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <limits>

#include "../column_softmax.h"
#include "device.h"
#include "teams.h"

namespace sdv_wgangp {
namespace {

template <int Team, class T>
__global__ void softmax_kernel(const T* logits, int64_t logits_stride, const T* noise,
                               int64_t noise_stride, const int64_t* offsets, int64_t columns,
                               int64_t width, int64_t pairs, T scale, T* soft, int64_t* codes) {
  constexpr int teams = kThreads / Team;
  const int lane = threadIdx.x % Team;
  for (int64_t index = int64_t(blockIdx.x) * teams + threadIdx.x / Team; index < pairs;
       index += int64_t(gridDim.x) * teams) {
    const Pair pair = pair_at(index, offsets, columns, width);
    const T* l = logits + pair.row * logits_stride + pair.start;
    const T* g = noise + pair.row * noise_stride + pair.start;
    T* p = soft + pair.row * width + pair.start;
    // One pass finds the maximum and where this thread met it first.
    T maximum = -std::numeric_limits<T>::infinity();
    int32_t first = static_cast<int32_t>(pair.size);
    for (int64_t i = lane; i < pair.size; i += Team) {
      const T value = l[i] + g[i];
      if (value > maximum || (value == maximum && i < first)) {
        maximum = value;
        first = static_cast<int32_t>(i);
      }
    }
    const T largest = team_reduce<Team>(maximum, Maximum());
    const int32_t candidate = maximum == largest ? first : static_cast<int32_t>(pair.size);
    const int32_t code = team_reduce<Team>(candidate, Minimum());
    T sum = 0;
    for (int64_t i = lane; i < pair.size; i += Team) {
      const T weight = softmax_weight((l[i] + g[i] - largest) * scale);
      p[i] = weight;
      sum += weight;
    }
    const T inverse = 1 / team_reduce<Team>(sum, Sum());
    for (int64_t i = lane; i < pair.size; i += Team) p[i] *= inverse;
    if (lane == 0) codes[index] = code < pair.size ? code : 0;
  }
}

template <int Team, class T>
__global__ void softmax_backward_kernel(const T* grad, int64_t grad_stride, const T* soft,
                                        int64_t soft_stride, const int64_t* offsets,
                                        int64_t columns, int64_t width, int64_t pairs, T scale,
                                        T* result) {
  constexpr int teams = kThreads / Team;
  const int lane = threadIdx.x % Team;
  for (int64_t index = int64_t(blockIdx.x) * teams + threadIdx.x / Team; index < pairs;
       index += int64_t(gridDim.x) * teams) {
    const Pair pair = pair_at(index, offsets, columns, width);
    const T* g = grad + pair.row * grad_stride + pair.start;
    const T* p = soft + pair.row * soft_stride + pair.start;
    T* out = result + pair.row * width + pair.start;
    T inner = 0;
    for (int64_t i = lane; i < pair.size; i += Team) inner += g[i] * p[i];
    inner = team_reduce<Team>(inner, Sum());
    for (int64_t i = lane; i < pair.size; i += Team)
      out[i] = softmax_gradient(g[i], p[i], inner, scale);
  }
}

// Inverse CDF, one warp per (row, column). The second walk goes along the block 32 levels at a
// time; the lanes' running sums come from a warp scan, and the first lane beyond the target wins.
// Only lanes with mass may win or be remembered as the last resort: the scan adds in another
// order than the total, so sums may differ in their last bit.
// `bias` may be null.
template <class T, class L>
__global__ void sample_kernel(const L* logits, int64_t logits_stride, const T* bias,
                              const T* uniforms, int64_t uniforms_stride, const int64_t* offsets,
                              int64_t columns, int64_t width, int64_t pairs, int64_t* codes) {
  constexpr int teams = kThreads / kWarp;
  const int lane = threadIdx.x % kWarp;
  for (int64_t index = int64_t(blockIdx.x) * teams + threadIdx.x / kWarp; index < pairs;
       index += int64_t(gridDim.x) * teams) {
    const Pair pair = pair_at(index, offsets, columns, width);
    const L* l = logits + pair.row * logits_stride + pair.start;
    const T* b = bias ? bias + pair.start : nullptr;
    const auto logit = [=](int64_t i) -> T { return b ? widen(l[i]) + b[i] : widen(l[i]); };
    T maximum = -std::numeric_limits<T>::infinity();
    for (int64_t i = lane; i < pair.size; i += kWarp) maximum = Maximum()(maximum, logit(i));
    maximum = team_reduce<kWarp>(maximum, Maximum());
    double total = 0;
    for (int64_t i = lane; i < pair.size; i += kWarp)
      total += static_cast<double>(exponential(logit(i) - maximum));
    total = team_reduce<kWarp>(total, Sum());
    // Logits that are no distribution end in some code of the column: a failed assert
    // would cost the caller the CUDA context, and with it the weights worth keeping.
    const double target =
        static_cast<double>(uniforms[pair.row * uniforms_stride + pair.column]) * total;
    double before = 0;
    int64_t code = 0;
    for (int64_t begin = 0; begin < pair.size; begin += kWarp) {
      const int64_t i = begin + lane;
      const double weight =
          i < pair.size ? static_cast<double>(exponential(logit(i) - maximum)) : 0.0;
      double sum = weight;
#pragma unroll
      for (int distance = 1; distance < kWarp; distance *= 2) {
        const double below = __shfl_up_sync(kAll, sum, distance);
        if (lane >= distance) sum += below;
      }
      const unsigned with_mass = __ballot_sync(kAll, weight > 0);
      const unsigned beyond = __ballot_sync(kAll, weight > 0 && before + sum > target);
      if (beyond != 0) {
        code = begin + __ffs(static_cast<int>(beyond)) - 1;
        break;
      }
      if (with_mass != 0) code = begin + (kWarp - 1 - __clz(static_cast<int>(with_mass)));
      before += __shfl_sync(kAll, sum, kWarp - 1);
    }
    if (lane == 0) codes[index] = code;
  }
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  static Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
    return sdv_wgangp::checked_offsets(op, offsets, width);
  }

  template <class T>
  void softmax(const Softmax<T>& p) {
    const int64_t pairs = p.rows * p.columns;
    if (pairs == 0) return;
    const bool wide = p.width >= kWideColumn * p.columns;
    const auto kernel = wide ? softmax_kernel<kThreads, T> : softmax_kernel<kWarp, T>;
    kernel<<<grid_size(pairs, wide ? kThreads : kWarp), kThreads, 0, stream_>>>(
        p.logits, p.logits_stride, p.noise, p.noise_stride, p.offsets, p.columns, p.width, pairs,
        p.scale, p.soft, p.codes);
    check_launch("column_softmax");
  }

  template <class T>
  void softmax_backward(const SoftmaxBackward<T>& p) {
    const int64_t pairs = p.rows * p.columns;
    if (pairs == 0) return;
    const bool wide = p.width >= kWideColumn * p.columns;
    const auto kernel =
        wide ? softmax_backward_kernel<kThreads, T> : softmax_backward_kernel<kWarp, T>;
    kernel<<<grid_size(pairs, wide ? kThreads : kWarp), kThreads, 0, stream_>>>(
        p.grad, p.grad_stride, p.soft, p.soft_stride, p.offsets, p.columns, p.width, pairs,
        p.scale, p.result);
    check_launch("column_softmax_backward");
  }

  template <class T, class L>
  void sample(const Sample<T, L>& p) {
    const int64_t pairs = p.rows * p.columns;
    if (pairs == 0) return;
    sample_kernel<T, L><<<grid_size(pairs, kWarp), kThreads, 0, stream_>>>(
        p.logits, p.logits_stride, p.bias, p.uniforms, p.uniforms_stride, p.offsets, p.columns,
        p.width, pairs, p.codes);
    check_launch("column_sample");
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("column_softmax", TORCH_BOX(&sdv_wgangp::column_softmax<sdv_wgangp::Cuda>));
  m.impl("column_softmax_backward",
         TORCH_BOX(&sdv_wgangp::column_softmax_backward<sdv_wgangp::Cuda>));
  m.impl("column_sample", TORCH_BOX(&sdv_wgangp::column_sample<sdv_wgangp::Cuda>));
}
