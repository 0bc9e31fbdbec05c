// The passes of a generator's training step between its products, on CUDA.
//
// Same operators and formulas as cpu/generator.cpp. Sums over rows are done by thread blocks that
// own 32 units each: the warps share the rows, side by side along them, and their sums are added
// in the order of the warps, so the same arguments give the same bits. Gradients at logits are
// made by teams (teams.h), one for each (row, column) pair; scores of positions by warps.
//
// Nothing waits for the host: a step can be captured in a CUDA graph. Offsets and levels are
// checked by the device.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <type_traits>

#include "../generator.h"
#include "device.h"
#include "teams.h"

namespace sdv_wgangp {
namespace {

// --- sums over rows -----------------------------------------------------------------------------

constexpr int kRowThreads = 512;  // of a block that owns 32 units
constexpr int kRowWarps = kRowThreads / kWarp;

// The unit and the warp of this thread.
struct Unit {
  int lane, warp;
  int64_t index;
};

__device__ Unit own_unit() {
  const int lane = threadIdx.x % kWarp;
  return {lane, static_cast<int>(threadIdx.x) / kWarp, int64_t(blockIdx.x) * kWarp + lane};
}

unsigned unit_blocks(int64_t width) { return static_cast<unsigned>((width + kWarp - 1) / kWarp); }

// The unit's sum over the block's warps, for all of them.
template <class S>
__device__ S over_warps(Unit unit, S value) {
  __shared__ S partial[kRowWarps][kWarp];
  __syncthreads();  // the last use of `partial` is over
  partial[unit.warp][unit.lane] = value;
  __syncthreads();
  S sum = 0;
  for (int warp = 0; warp < kRowWarps; ++warp) sum += partial[warp][unit.lane];
  return sum;
}

// out[j] = sum over rows of x[row][j].
template <class S>
__global__ void __launch_bounds__(kRowThreads)
    row_sums_kernel(const S* x, int64_t stride, int64_t rows, int64_t width, S* out) {
  const Unit unit = own_unit();
  S sum = 0;
  if (unit.index < width)
    for (int64_t i = unit.warp; i < rows; i += kRowWarps) sum += x[i * stride + unit.index];
  sum = over_warps(unit, sum);
  if (unit.warp == 0 && unit.index < width) out[unit.index] = sum;
}

// --- batch normalisation ------------------------------------------------------------------------

// z becomes n in place, out = max(0, weight n + bias). Two passes for the statistics: the variance
// of numbers far from zero is not lost.
template <class S, class T>
__global__ void __launch_bounds__(kRowThreads)
    norm_kernel(T* z, int64_t stride, int64_t rows, int64_t width, const S* weight, const S* bias,
                S epsilon, T* out, int64_t out_stride, S* inverse) {
  const Unit unit = own_unit();
  const int64_t j = unit.index;
  const int64_t end = j < width ? rows : 0;
  const S inverse_rows = S(1) / rows;
  S sum = 0;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) sum += widen(z[i * stride + j]);
  const S mean = over_warps(unit, sum) * inverse_rows;
  S squares = 0;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    const S d = widen(z[i * stride + j]) - mean;
    squares += d * d;
  }
  const S scale = 1 / std::sqrt(over_warps(unit, squares) * inverse_rows + epsilon);
  if (j >= width) return;
  if (unit.warp == 0) inverse[j] = scale;
  const S gamma = weight[j], beta = bias[j];
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    T normal;
    narrow((widen(z[i * stride + j]) - mean) * scale, normal);
    const S activation = widen(normal) * gamma + beta;
    z[i * stride + j] = normal;
    narrow(activation > 0 ? activation : S(0), out[i * out_stride + j]);
  }
}

// The same backwards: n becomes the gradient at z in place.
template <class S, class T>
__global__ void __launch_bounds__(kRowThreads)
    norm_backward_kernel(const T* gradient, int64_t gradient_stride, T* normal, int64_t stride,
                         int64_t rows, int64_t width, const S* weight, const S* bias,
                         const S* inverse, S* weight_gradient, S* bias_gradient) {
  const Unit unit = own_unit();
  const int64_t j = unit.index;
  const int64_t end = j < width ? rows : 0;
  const S gamma = j < width ? weight[j] : S(0), beta = j < width ? bias[j] : S(0);
  const auto open = [=](S value, int64_t i) -> S {
    return value * gamma + beta > 0 ? widen(gradient[i * gradient_stride + j]) : S(0);
  };
  S along = 0, total = 0;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    const S value = widen(normal[i * stride + j]);
    const S y = open(value, i);
    total += y;
    along += y * value;
  }
  total = over_warps(unit, total);
  along = over_warps(unit, along);
  if (j >= width) return;
  if (unit.warp == 0) {
    weight_gradient[j] = along;
    bias_gradient[j] = total;
  }
  const S inverse_rows = S(1) / rows;
  const S scale = gamma * inverse[j], mean = total * inverse_rows, tilt = along * inverse_rows;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    const S value = widen(normal[i * stride + j]);
    narrow(scale * (open(value, i) - mean - value * tilt), normal[i * stride + j]);
  }
}

// --- the gradient at logits ---------------------------------------------------------------------

// Logits that are no distribution give NaN and fail no assert, which would cost the caller the
// CUDA context.
//
// `unrounded` [rows, width] takes the result before it is rounded; null where nothing is rounded.
template <int Team, class S, class T>
__global__ void code_gradient_kernel(CodeGradient<S, T> q, S* unrounded) {
  constexpr int teams = kThreads / Team;
  const int lane = threadIdx.x % Team;
  const int64_t pairs = q.rows * q.columns;
  for (int64_t index = int64_t(blockIdx.x) * teams + threadIdx.x / Team; index < pairs;
       index += int64_t(gridDim.x) * teams) {
    const Pair pair = pair_at(index, q.offsets, q.columns, q.width);
    const int64_t sampled = q.levels[index] - pair.start;
    assert(0 <= sampled && sampled < pair.size && "levels must lie in their column");
    T* g = q.gradient + pair.row * q.gradient_stride + pair.start;
    S* exact = unrounded ? unrounded + pair.row * q.width + pair.start : nullptr;
    const T* l = q.logits + pair.row * q.logits_stride + pair.start;
    const S* b = q.bias + pair.start;
    // The gradient at code i.
    const auto at_code = [&](int64_t i) -> S {
      S v = widen(g[i]);
      for (int64_t k = 0; k < q.count; ++k) {
        const S slope = q.slopes[k * pairs + index];
        if (slope != 0) v += slope * q.tables[k * q.width + pair.start + i];
      }
      return v;
    };
    const auto put = [&](int64_t i, S value) {
      narrow(value, g[i]);
      if (exact) exact[i] = value;
    };

    const S at_sample = at_code(sampled);
    S maximum = -std::numeric_limits<S>::infinity();
    for (int64_t i = lane; i < pair.size; i += Team)
      maximum = Maximum()(maximum, widen(l[i]) + b[i]);
    maximum = team_reduce<Team>(maximum, Maximum());
    S sum = 0;
    for (int64_t i = lane; i < pair.size; i += Team)
      sum += softmax_weight(widen(l[i]) + b[i] - maximum);
    const S half = S(0.5) / team_reduce<Team>(sum, Sum());
    team_sync<Team>();  // every thread has read the gradient at the sample, which is overwritten
    S others = 0;
    for (int64_t i = lane; i < pair.size; i += Team) {
      if (i == sampled) continue;
      const S value =
          half * softmax_weight(widen(l[i]) + b[i] - maximum) * (at_code(i) - at_sample);
      put(i, value);
      others += value;
    }
    others = team_reduce<Team>(others, Sum());
    if (lane == 0) put(sampled, -others);
  }
}

// --- scores of positions ------------------------------------------------------------------------

// A warp owns one position of one row.
template <class S, class T>
__global__ void score_kernel(const T* features, int64_t stride, int64_t width, const S* weight,
                             const S* bias, const S* jitter, int64_t count, int64_t pairs, S low,
                             S high, S* scores, S* stretches) {
  constexpr int teams = kThreads / kWarp;
  const int lane = threadIdx.x % kWarp;
  for (int64_t at = int64_t(blockIdx.x) * teams + threadIdx.x / kWarp; at < pairs;
       at += int64_t(gridDim.x) * teams) {
    const int64_t row = at / count, j = at - row * count;
    const T* x = features + row * stride;
    const S *to_mean = weight + j * width, *to_scale = weight + (count + j) * width;
    S mean = 0, log_scale = 0;
    for (int64_t i = lane; i < width; i += kWarp) {
      const S value = widen(x[i]);
      mean += value * to_mean[i];
      log_scale += value * to_scale[i];
    }
    mean = team_reduce<kWarp>(mean, Sum()) + bias[j];
    log_scale = team_reduce<kWarp>(log_scale, Sum()) + bias[count + j];
    if (lane == 0)
      scores[at] = position_score(mean, log_scale, jitter[at], low, high, stretches[at]);
  }
}

// --- the device ---------------------------------------------------------------------------------

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  static Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
    return sdv_wgangp::checked_offsets(op, offsets, width);
  }

  template <class S, class T>
  void norm(const Norm<S, T>& p) {
    if (p.width == 0) return;
    norm_kernel<S, T><<<unit_blocks(p.width), kRowThreads, 0, stream_>>>(
        p.z, p.stride, p.rows, p.width, p.weight, p.bias, p.epsilon, p.out, p.out_stride,
        p.inverse);
    check_launch("norm_relu");
  }

  template <class S, class T>
  void norm_backward(const NormBackward<S, T>& p) {
    if (p.width == 0) return;
    norm_backward_kernel<S, T><<<unit_blocks(p.width), kRowThreads, 0, stream_>>>(
        p.gradient, p.gradient_stride, p.normal, p.stride, p.rows, p.width, p.weight, p.bias,
        p.inverse, p.weight_gradient, p.bias_gradient);
    check_launch("norm_relu_backward");
  }

  template <class S, class T>
  void code_gradient(const char* op, const CodeGradient<S, T>& p) {
    if (p.width == 0) return;
    // The sums over rows are those of what was not yet rounded.
    S* unrounded = std::is_same_v<S, T> ? nullptr : take<S>(p.rows * p.width);
    const int64_t pairs = p.rows * p.columns;
    if (pairs > 0) {
      const bool wide = p.width >= kWideColumn * p.columns;
      const auto kernel =
          wide ? code_gradient_kernel<kThreads, S, T> : code_gradient_kernel<kWarp, S, T>;
      kernel<<<grid_size(pairs, wide ? kThreads : kWarp), kThreads, 0, stream_>>>(p, unrounded);
      check_launch(op);
    }
    const S* summands = unrounded;
    int64_t stride = p.width;
    if constexpr (std::is_same_v<S, T>) {
      summands = p.gradient;
      stride = p.gradient_stride;
    }
    row_sums_kernel<S><<<unit_blocks(p.width), kRowThreads, 0, stream_>>>(summands, stride, p.rows,
                                                                          p.width, p.sums);
    check_launch(op);
  }

  template <class S, class T>
  void position_head(const PositionHead<S, T>& p) {
    const int64_t pairs = p.rows * p.count;
    if (pairs == 0) return;
    score_kernel<S, T><<<grid_size(pairs, kWarp), kThreads, 0, stream_>>>(
        p.features, p.stride, p.width, p.weight, p.bias, p.jitter, p.count, pairs, p.low, p.high,
        p.scores, p.stretches);
    check_launch("position_head");
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("norm_relu", TORCH_BOX(&sdv_wgangp::norm_relu<sdv_wgangp::Cuda>));
  m.impl("norm_relu_backward", TORCH_BOX(&sdv_wgangp::norm_relu_backward<sdv_wgangp::Cuda>));
  m.impl("code_gradient", TORCH_BOX(&sdv_wgangp::code_gradient<sdv_wgangp::Cuda>));
  m.impl("position_head", TORCH_BOX(&sdv_wgangp::position_head<sdv_wgangp::Cuda>));
}
