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
#include <type_traits>

#include "../penalty.h"
#include "device.h"

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
                       const T* epsilon, int64_t epsilon_stride, int64_t rows, int64_t width,
                       T* result, int64_t result_stride) {
  constexpr int teams = kBlock<Team> / Team;
  const int64_t pieces = (width + kWidestRow - 1) / kWidestRow;
  for (int64_t piece = int64_t(blockIdx.x) * teams + threadIdx.x / Team; piece < rows * pieces;
       piece += int64_t(gridDim.x) * teams) {
    const int64_t row = piece / pieces;
    const int64_t begin = (piece - row * pieces) * kWidestRow;
    const int64_t end = begin + kWidestRow < width ? begin + kWidestRow : width;
    const T a = epsilon[row * epsilon_stride];
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

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  template <class T>
  void norm_penalty(const NormPenalty<T>& p) {
    double* terms = take<double>(p.rows);
    with_team(p.rows, p.width, [&](auto team, unsigned blocks, int threads) {
      norm_kernel<decltype(team)::value, T><<<blocks, threads, 0, stream_>>>(
          p.gradient, p.gradient_stride, p.rows, p.width, p.kind, p.norms, terms);
    });
    mean_kernel<T><<<1, kThreads, 0, stream_>>>(terms, p.rows, p.factor, p.penalty);
    check_launch("gradient_norm_penalty");
  }

  template <class T>
  void direction(const Direction<T>& p) {
    with_team(p.rows, p.width, [&](auto team, unsigned blocks, int threads) {
      direction_kernel<decltype(team)::value, T><<<blocks, threads, 0, stream_>>>(
          p.gradient, p.gradient_stride, p.rows, p.width, p.kind, p.factor, p.grad_penalty,
          p.grad_norms, p.result, p.result_stride);
    });
    check_launch("gradient_norm_penalty_backward");
  }

  template <class T>
  void interpolate(const Interpolation<T>& p) {
    const int64_t pieces = (p.width + kWidestRow - 1) / kWidestRow;
    // A piece of a wide row is narrower than the row.
    with_team(p.rows * pieces, std::min(p.width, kWidestRow - 1),
              [&](auto team, unsigned blocks, int threads) {
                interpolate_kernel<decltype(team)::value, T><<<blocks, threads, 0, stream_>>>(
                    p.real, p.real_stride, p.fake, p.fake_stride, p.epsilon, p.epsilon_stride,
                    p.rows, p.width, p.result, p.result_stride);
              });
    check_launch("interpolate");
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("interpolate", TORCH_BOX(&sdv_wgangp::interpolate_rows<sdv_wgangp::Cuda>));
  m.impl("gradient_norm_penalty", TORCH_BOX(&sdv_wgangp::gradient_norm_penalty<sdv_wgangp::Cuda>));
  m.impl("gradient_norm_penalty_backward",
         TORCH_BOX(&sdv_wgangp::gradient_norm_penalty_backward<sdv_wgangp::Cuda>));
}
