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
#include <tuple>
#include <type_traits>

#include "../generator.h"
#include "stream.h"
#include "teams.h"

namespace sdv_wgangp {
namespace {

template <class T>
T* elements(const Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

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
  const S share = S(1) / rows;
  S sum = 0;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) sum += widen(z[i * stride + j]);
  const S mean = over_warps(unit, sum) * share;
  S squares = 0;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    const S d = widen(z[i * stride + j]) - mean;
    squares += d * d;
  }
  const S scale = 1 / std::sqrt(over_warps(unit, squares) * share + epsilon);
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
  const S share = S(1) / rows;
  const S scale = gamma * inverse[j], mean = total * share, tilt = along * share;
  for (int64_t i = unit.warp; i < end; i += kRowWarps) {
    const S value = widen(normal[i * stride + j]);
    narrow(scale * (open(value, i) - mean - value * tilt), normal[i * stride + j]);
  }
}

Tensor norm_relu(Tensor product, Tensor weight, Tensor bias, double epsilon, Tensor out) {
  check_norm_relu(product, weight, bias, epsilon, out);
  const torch::stable::accelerator::DeviceGuard guard(product.get_device_index());
  const int64_t rows = product.size(0), width = product.size(1);
  Tensor inverse = torch::stable::new_empty(weight, {width});
  if (width == 0) return inverse;
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias);
  with_types_of(weight, product, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    norm_kernel<S, T><<<unit_blocks(width), kRowThreads, 0, current_stream(product)>>>(
        elements<T>(product), product.stride(0), rows, width, scale.const_data_ptr<S>(),
        shift.const_data_ptr<S>(), static_cast<S>(epsilon), elements<T>(out), out.stride(0),
        inverse.mutable_data_ptr<S>());
  });
  check_launch("norm_relu");
  return inverse;
}

void norm_relu_backward(Tensor gradient, Tensor normal, Tensor weight, Tensor bias, Tensor inverse,
                        Tensor weight_gradient, Tensor bias_gradient) {
  check_norm_relu_backward(gradient, normal, weight, bias, inverse, weight_gradient,
                           bias_gradient);
  const torch::stable::accelerator::DeviceGuard guard(normal.get_device_index());
  const int64_t rows = normal.size(0), width = normal.size(1);
  if (width == 0) return;
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias),
               deviation = torch::stable::contiguous(inverse);
  with_types_of(weight, normal, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> g(gradient);
    norm_backward_kernel<S, T><<<unit_blocks(width), kRowThreads, 0, current_stream(normal)>>>(
        g.data, g.stride, elements<T>(normal), normal.stride(0), rows, width,
        scale.const_data_ptr<S>(), shift.const_data_ptr<S>(), deviation.const_data_ptr<S>(),
        weight_gradient.mutable_data_ptr<S>(), bias_gradient.mutable_data_ptr<S>());
  });
  check_launch("norm_relu_backward");
}

// --- the gradient at logits ---------------------------------------------------------------------

template <class S, class T>
struct CodeGradient {
  T* gradient;
  int64_t gradient_stride;
  const T* logits;
  int64_t logits_stride;
  const S* bias;
  const int64_t* levels;
  const int64_t* offsets;
  int64_t rows, columns, width, count;  // `count` tables
  const S *slopes, *tables;             // [count, rows, columns], [count, width]
  S* unrounded;                         // [rows, width], or null where nothing is rounded
};

// Logits that are no distribution give NaN and fail no assert, which would cost the caller the
// CUDA context.
template <int Team, class S, class T>
__global__ void code_gradient_kernel(CodeGradient<S, T> q) {
  constexpr int teams = kThreads / Team;
  const int lane = threadIdx.x % Team;
  const int64_t pairs = q.rows * q.columns;
  for (int64_t index = int64_t(blockIdx.x) * teams + threadIdx.x / Team; index < pairs;
       index += int64_t(gridDim.x) * teams) {
    const Pair pair = pair_at(index, q.offsets, q.columns, q.width);
    const int64_t sampled = q.levels[index] - pair.start;
    assert(0 <= sampled && sampled < pair.size && "levels must lie in their column");
    T* g = q.gradient + pair.row * q.gradient_stride + pair.start;
    S* exact = q.unrounded ? q.unrounded + pair.row * q.width + pair.start : nullptr;
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

template <class S, class T>
void run_code_gradient(CodeGradient<S, T> q, const Tensor& bias, S* sums) {
  const cudaStream_t stream = current_stream(bias);
  const int64_t pairs = q.rows * q.columns;
  if (pairs > 0) {
    const bool wide = q.width >= kWideColumn * q.columns;
    const auto kernel =
        wide ? code_gradient_kernel<kThreads, S, T> : code_gradient_kernel<kWarp, S, T>;
    kernel<<<grid_size(pairs, wide ? kThreads : kWarp), kThreads, 0, stream>>>(q);
    check_launch("code_gradient");
  }
  const S* summands = q.unrounded;
  int64_t stride = q.width;
  if constexpr (std::is_same_v<S, T>) {
    summands = q.gradient;
    stride = q.gradient_stride;
  }
  row_sums_kernel<S>
      <<<unit_blocks(q.width), kRowThreads, 0, stream>>>(summands, stride, q.rows, q.width, sums);
  check_launch("code_gradient");
}

Tensor code_gradient(Tensor gradient, Tensor logits, Tensor bias, Tensor levels, Tensor offsets,
                     Tensor slopes, Tensor tables) {
  const int64_t columns =
      check_code_gradient(gradient, logits, bias, levels, offsets, slopes, tables);
  const int64_t rows = logits.size(0), width = bias.size(0);
  SDV_CHECK(columns > 0 || width == 0, "code_gradient: offsets name no column, logits have shape ",
            shape(logits));
  const torch::stable::accelerator::DeviceGuard guard(bias.get_device_index());
  Tensor result = torch::stable::new_empty(bias, {width});
  if (width == 0) return result;
  const Tensor shift = torch::stable::contiguous(bias), cells = torch::stable::contiguous(levels),
               at = torch::stable::contiguous(offsets), steep = torch::stable::contiguous(slopes),
               looked = torch::stable::contiguous(tables);
  with_types_of(bias, logits, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> from(logits);
    // The sums over rows are those of what was not yet rounded.
    const bool rounds = !std::is_same_v<S, T>;
    const Tensor unrounded = torch::stable::new_empty(bias, {rounds ? rows : 0, width});
    run_code_gradient<S, T>(
        {elements<T>(gradient), gradient.stride(0), from.data, from.stride,
         shift.const_data_ptr<S>(), cells.const_data_ptr<int64_t>(), at.const_data_ptr<int64_t>(),
         rows, columns, width, tables.size(0), steep.const_data_ptr<S>(),
         looked.const_data_ptr<S>(), rounds ? unrounded.mutable_data_ptr<S>() : nullptr},
        bias, result.mutable_data_ptr<S>());
  });
  return result;
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

std::tuple<Tensor, Tensor> position_head(Tensor features, Tensor weight, Tensor bias,
                                         Tensor jitter, double low, double high) {
  const int64_t count = check_position_head(features, weight, bias, jitter, low, high);
  const torch::stable::accelerator::DeviceGuard guard(features.get_device_index());
  const int64_t rows = features.size(0), pairs = rows * count;
  Tensor scores = torch::stable::new_empty(jitter, {rows, count});
  Tensor stretches = torch::stable::new_empty(jitter, {rows, count});
  if (pairs == 0) return {scores, stretches};
  const Tensor scale = torch::stable::contiguous(weight), shift = torch::stable::contiguous(bias),
               noise = torch::stable::contiguous(jitter);
  with_types_of(weight, features, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    const Rows<T> x(features);
    score_kernel<S, T><<<grid_size(pairs, kWarp), kThreads, 0, current_stream(features)>>>(
        x.data, x.stride, features.size(1), scale.const_data_ptr<S>(), shift.const_data_ptr<S>(),
        noise.const_data_ptr<S>(), count, pairs, static_cast<S>(low), static_cast<S>(high),
        scores.mutable_data_ptr<S>(), stretches.mutable_data_ptr<S>());
  });
  check_launch("position_head");
  return {scores, stretches};
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("norm_relu", TORCH_BOX(&sdv_wgangp::norm_relu));
  m.impl("norm_relu_backward", TORCH_BOX(&sdv_wgangp::norm_relu_backward));
  m.impl("code_gradient", TORCH_BOX(&sdv_wgangp::code_gradient));
  m.impl("position_head", TORCH_BOX(&sdv_wgangp::position_head));
}
