// Interpolates between real and fake rows, and norms, penalty and direction of a critic's
// gradients, on CUDA.
//
// Same operators and formulas as cpu/penalty.cpp. A team of threads owns a row (of interpolates, a
// piece of one), and its threads walk along it side by side:
//
//     team = one warp          rows of a table; eight teams share a thread block
//     team = 256 threads       rows of 1024 elements and more
//     team = 1024 threads      rows of 16384 elements and more, of which there are few
//
// The rows' terms of the penalty are added up by one thread block, in a fixed order: the same
// arguments give the same bits. Nothing waits for the host; gradients of scalars are read where
// they are.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>

#include "../penalty.h"
#include "stream.h"

namespace sdv_wgangp {
namespace {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int kMostThreads = 1024;
constexpr int64_t kWideRow = 1024;
constexpr int64_t kWidestRow = 16384;
constexpr unsigned kAll = 0xffffffffu;

template <int Team>
constexpr int kBlock = Team > kThreads ? Team : kThreads;

// The sum over the team's threads, for all of them, added in a fixed order.
template <int Team>
__device__ double team_sum(double value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value += __shfl_xor_sync(kAll, value, distance);
  if constexpr (Team > kWarp) {
    __shared__ double partial[Team / kWarp];
    __syncthreads();  // the last use of `partial` is over
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = 0;
    for (int warp = 0; warp < Team / kWarp; ++warp) value += partial[warp];
  }
  return value;
}

template <int Team, class T>
__device__ double sum_of_squares(const T* g, int64_t n, double scale) {
  double sum = 0;
  for (int64_t i = threadIdx.x % Team; i < n; i += Team) {
    const double x = scale * static_cast<double>(g[i]);
    sum += x * x;
  }
  return team_sum<Team>(sum);
}

template <int Team, class T>
__device__ double row_norm(const T* g, int64_t n) {
  const double squared = sum_of_squares<Team>(g, n, 1.0);
  const double scale = norm_scale(squared, T());  // the same for the whole team
  if (scale == 1) return gradient_norm(squared);
  return gradient_norm(sum_of_squares<Team>(g, n, scale)) / scale;
}

template <int Team, class T>
__global__ void __launch_bounds__(kBlock<Team>)
    norm_kernel(const T* gradient, int64_t stride, int64_t rows, int64_t width, Penalty kind,
                T* norms, double* terms) {
  constexpr int teams = kBlock<Team> / Team;
  for (int64_t row = int64_t(blockIdx.x) * teams + threadIdx.x / Team; row < rows;
       row += int64_t(gridDim.x) * teams) {
    const double norm = row_norm<Team>(gradient + row * stride, width);
    if (threadIdx.x % Team == 0) {
      norms[row] = static_cast<T>(norm);
      terms[row] = penalty_term(kind, norm);
    }
  }
}

// One block.
template <class T>
__global__ void mean_kernel(const double* terms, int64_t rows, double factor, T* penalty) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < rows; i += kThreads) sum += terms[i];
  sum = team_sum<kThreads>(sum);
  if (threadIdx.x == 0) *penalty = static_cast<T>(factor * sum);
}

template <int Team, class T>
__global__ void __launch_bounds__(kBlock<Team>)
    direction_kernel(const T* gradient, int64_t stride, int64_t rows, int64_t width, Penalty kind,
                     double factor, const T* grad_penalty, const T* grad_norms, T* result,
                     int64_t result_stride) {
  constexpr int teams = kBlock<Team> / Team;
  const double to_penalty = factor * static_cast<double>(*grad_penalty);
  for (int64_t row = int64_t(blockIdx.x) * teams + threadIdx.x / Team; row < rows;
       row += int64_t(gridDim.x) * teams) {
    const T* g = gradient + row * stride;
    T* out = result + row * result_stride;
    const double to_norm = grad_norms ? static_cast<double>(grad_norms[row]) : 0.0;
    const double kappa = direction_factor(kind, row_norm<Team>(g, width), to_penalty, to_norm);
    for (int64_t i = threadIdx.x % Team; i < width; i += Team)
      out[i] = static_cast<T>(kappa * static_cast<double>(g[i]));
  }
}

// A team owns one piece of a row, of kWidestRow elements at most.
template <int Team, class T>
__global__ void __launch_bounds__(kBlock<Team>)
    interpolate_kernel(const T* real, int64_t real_stride, const T* fake, int64_t fake_stride,
                       const T* share, int64_t share_stride, int64_t rows, int64_t width,
                       T* result, int64_t result_stride) {
  constexpr int teams = kBlock<Team> / Team;
  const int64_t pieces = (width + kWidestRow - 1) / kWidestRow;
  for (int64_t piece = int64_t(blockIdx.x) * teams + threadIdx.x / Team; piece < rows * pieces;
       piece += int64_t(gridDim.x) * teams) {
    const int64_t row = piece / pieces;
    const int64_t begin = (piece - row * pieces) * kWidestRow;
    const int64_t end = begin + kWidestRow < width ? begin + kWidestRow : width;
    const T a = share[row * share_stride];
    const T* x = real + row * real_stride;
    const T* y = fake + row * fake_stride;
    T* out = result + row * result_stride;
    for (int64_t i = begin + threadIdx.x % Team; i < end; i += Team)
      out[i] = interpolate(x[i], y[i], a);
  }
}

// Calls launch(team, blocks, threads) with the team for the width, an integral constant, and as
// many thread blocks as give every team one row, within the grid's limit; the kernels loop over
// what is beyond it.
template <class Launch>
void with_team(int64_t rows, int64_t width, Launch launch) {
  const auto go = [&](auto team) {
    constexpr int threads = kBlock<decltype(team)::value>;
    const int64_t teams = threads / team;
    const int64_t blocks = std::min<int64_t>((rows + teams - 1) / teams, 1 << 30);
    launch(team, static_cast<unsigned>(blocks), threads);
  };
  if (width < kWideRow)
    go(std::integral_constant<int, kWarp>());
  else if (width < kWidestRow)
    go(std::integral_constant<int, kThreads>());
  else
    go(std::integral_constant<int, kMostThreads>());
}

template <class T>
void run_norm_penalty(const Tensor& gradient, double weight, Penalty kind, Tensor& penalty,
                      Tensor& norms) {
  const Pieces<T> g(gradient);
  const int64_t rows = gradient.size(0), width = width_of(gradient);
  const cudaStream_t stream = current_stream(gradient);
  const Tensor terms = torch::stable::new_empty(gradient, {rows}, ScalarType::Double);
  double* term = terms.mutable_data_ptr<double>();
  T* n = norms.mutable_data_ptr<T>();
  with_team(rows, width, [&](auto team, unsigned blocks, int threads) {
    norm_kernel<decltype(team)::value, T>
        <<<blocks, threads, 0, stream>>>(g.data, g.stride, rows, width, kind, n, term);
  });
  mean_kernel<T><<<1, kThreads, 0, stream>>>(term, rows, weight / static_cast<double>(rows),
                                             penalty.mutable_data_ptr<T>());
  check_launch("gradient_norm_penalty");
}

std::tuple<Tensor, Tensor> gradient_norm_penalty(Tensor gradient, double weight,
                                                 std::string kind) {
  const Penalty penalty_kind = check_norm_penalty("gradient_norm_penalty", gradient, weight, kind);
  const torch::stable::accelerator::DeviceGuard guard(gradient.get_device_index());
  Tensor penalty = torch::stable::new_empty(gradient, {});
  Tensor norms = torch::stable::new_empty(gradient, {gradient.size(0)});
  if (gradient.scalar_type() == ScalarType::Float)
    run_norm_penalty<float>(gradient, weight, penalty_kind, penalty, norms);
  else
    run_norm_penalty<double>(gradient, weight, penalty_kind, penalty, norms);
  return {penalty, norms};
}

template <class T>
Tensor run_norm_penalty_backward(const Tensor& grad_penalty,
                                 const std::optional<Tensor>& grad_norms, const Tensor& gradient,
                                 double weight, Penalty kind) {
  RowwiseResult to(gradient, {gradient});
  const Pieces<T> g(gradient, to.in_place);
  const int64_t rows = gradient.size(0), width = width_of(gradient);
  if (width == 0) return to.take();
  // Gradients are often expanded.
  std::optional<Tensor> held;
  if (grad_norms) held = torch::stable::contiguous(*grad_norms);
  const T* to_norms = held ? held->const_data_ptr<T>() : nullptr;
  const cudaStream_t stream = current_stream(gradient);
  T* out = to.written.mutable_data_ptr<T>();
  with_team(rows, width, [&](auto team, unsigned blocks, int threads) {
    direction_kernel<decltype(team)::value, T><<<blocks, threads, 0, stream>>>(
        g.data, g.stride, rows, width, kind, weight / static_cast<double>(rows),
        grad_penalty.const_data_ptr<T>(), to_norms, out, to.written.stride(0));
  });
  check_launch("gradient_norm_penalty_backward");
  return to.take();
}

Tensor gradient_norm_penalty_backward(Tensor grad_penalty, std::optional<Tensor> grad_norms,
                                      Tensor gradient, double weight, std::string kind) {
  const Penalty penalty_kind = check_norm_penalty_backward(
      "gradient_norm_penalty_backward", grad_penalty, grad_norms, gradient, weight, kind);
  const torch::stable::accelerator::DeviceGuard guard(gradient.get_device_index());
  return gradient.scalar_type() == ScalarType::Float
             ? run_norm_penalty_backward<float>(grad_penalty, grad_norms, gradient, weight,
                                                penalty_kind)
             : run_norm_penalty_backward<double>(grad_penalty, grad_norms, gradient, weight,
                                                 penalty_kind);
}

template <class T>
Tensor run_interpolate(const Tensor& real, const Tensor& fake, const Tensor& share) {
  RowwiseResult to(real, {real, fake});
  const Pieces<T> x(real, to.in_place), y(fake, to.in_place);
  const int64_t rows = real.size(0), width = width_of(real);
  if (rows * width == 0) return to.take();
  const cudaStream_t stream = current_stream(real);
  const int64_t pieces = (width + kWidestRow - 1) / kWidestRow;
  T* out = to.written.mutable_data_ptr<T>();
  // A piece of a wide row is narrower than the row.
  with_team(rows * pieces, std::min(width, kWidestRow - 1),
            [&](auto team, unsigned blocks, int threads) {
              interpolate_kernel<decltype(team)::value, T><<<blocks, threads, 0, stream>>>(
                  x.data, x.stride, y.data, y.stride, share.const_data_ptr<T>(), share.stride(0),
                  rows, width, out, to.written.stride(0));
            });
  check_launch("interpolate");
  return to.take();
}

Tensor interpolate_tensors(Tensor real, Tensor fake, Tensor share) {
  check_interpolate("interpolate", real, fake, share);
  const torch::stable::accelerator::DeviceGuard guard(real.get_device_index());
  return real.scalar_type() == ScalarType::Float ? run_interpolate<float>(real, fake, share)
                                                 : run_interpolate<double>(real, fake, share);
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("interpolate", TORCH_BOX(&sdv_wgangp::interpolate_tensors));
  m.impl("gradient_norm_penalty", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty));
  m.impl("gradient_norm_penalty_backward", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty_backward));
}
