// Mean and covariance of batches of matrices, and their backward, on CUDA.
//
// Same operators and formulas as cpu/moments.cpp. The products are written out here: cuBLAS would
// use TF32 where torch's matmul precision, set for networks, allows it. Every thread block owns a
// tile of kTile x kTile sums, each of its threads 4 x 4 of them:
//
//     for every kStep of the depth:   both factors' strips  ->  shared memory
//                                     kStep products a sum, in the argument's type
//     every kFlush of the depth:      the sums so far are added to sums in double
//
// Sums that blocks share go to memory as partial results and are added up by a last kernel, in
// order: results are the same every time. Nothing waits for the host.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <type_traits>

#include "../moments.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int kThreads = 256;
constexpr int kTile = 64;
constexpr int kStep = 16;
constexpr int kOwn = 4;  // a thread's sums, kOwn x kOwn; 16 x 16 threads
constexpr int64_t kFlush = 128;
constexpr int64_t kRowsPerBlock = 4096;
constexpr int64_t kPartialLimit = int64_t(1) << 24;  // doubles of partial results, about

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of a one-dimensional grid; the kernels loop over what is beyond its limit.
unsigned grid_size(int64_t blocks) {
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t(1) << 30));
}

// partial[b][s][j] = sum of x[b][i][j] - shift[b][j] over the rows i of part s. One block has 32
// columns side by side and 8 rows at a time.
template <class T>
__global__ void sums_kernel(Matrices<T> x, int64_t batch, int64_t rows, int64_t columns,
                            int64_t parts, const double* shift, double* partial) {
  __shared__ double shared[kThreads];
  const int lane = threadIdx.x % 32, line = threadIdx.x / 32;
  const int64_t groups = (columns + 31) / 32;
  const int64_t rows_per_part = (rows + parts - 1) / parts;
  for (int64_t block = blockIdx.x; block < batch * parts * groups; block += gridDim.x) {
    const int64_t b = block / (parts * groups), s = block / groups % parts;
    const int64_t j = block % groups * 32 + lane;
    const int64_t first = s * rows_per_part;
    const int64_t last = first + rows_per_part < rows ? first + rows_per_part : rows;
    double sum = 0;
    if (j < columns) {
      const double less = shift ? shift[b * columns + j] : 0.0;
      const T* at = x.data + b * x.batch_stride + j * x.column_stride;
      for (int64_t i = first + line; i < last; i += kThreads / 32)
        sum += static_cast<double>(at[i * x.row_stride]) - less;
    }
    __syncthreads();
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (line == 0 && j < columns) {
      for (int k = 1; k < kThreads / 32; ++k) sum += shared[k * 32 + lane];
      partial[(b * parts + s) * columns + j] = sum;
    }
  }
}

// The mean is sum + rest (see split_mean): the first pass writes `sum`, and for doubles a second
// one, shifted by it, `rest`. `high`, `low` take its parts; [batch * columns].
template <class T>
__global__ void means_kernel(const double* partial, int64_t batch, int64_t rows, int64_t columns,
                             int64_t parts, bool second, double* sum, T* high, T* low) {
  for (int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x; at < batch * columns;
       at += int64_t(gridDim.x) * kThreads) {
    const int64_t b = at / columns, j = at % columns;
    double total = 0;
    for (int64_t s = 0; s < parts; ++s) total += partial[(b * parts + s) * columns + j];
    total /= static_cast<double>(rows);
    if (!second) sum[at] = total;
    const Mean<T> mean = split_mean(sum[at], second ? total : 0.0, T());
    high[at] = mean.high;
    low[at] = mean.low;
  }
}

// The factors of the two products, element by element. Where kAlongDepth, elements next to each
// other in memory follow each other along the depth.
template <class T>
struct Deviations {  // of row k and column i
  static constexpr bool kAlongDepth = false;
  const T *x, *high, *low;
  int64_t row_stride, column_stride;
  __device__ T operator()(int64_t k, int64_t i) const {
    return centred(x[k * row_stride + i * column_stride], high[i], low[i]);
  }
};

template <class T>
struct RowDeviations {  // of row i and column k
  static constexpr bool kAlongDepth = true;
  const T *x, *high, *low;
  int64_t row_stride, column_stride;
  __device__ T operator()(int64_t k, int64_t i) const {
    return centred(x[i * row_stride + k * column_stride], high[k], low[k]);
  }
};

template <class T>
struct CovarianceGradient {
  static constexpr bool kAlongDepth = false;
  const T* grad;
  int64_t columns;
  double inverse;
  __device__ T operator()(int64_t k, int64_t j) const {
    return covariance_gradient(grad[k * columns + j], grad[j * columns + k], inverse);
  }
};

// Fetches strip[k][i] = factor(depth + k, first + i), 0 beyond the limits.
template <class T, class Factor>
__device__ void fetch(const Factor& factor, int64_t depth, int64_t depth_limit, int64_t first,
                      int64_t limit, T (&strip)[kStep][kTile + 1]) {
  for (int e = threadIdx.x; e < kStep * kTile; e += kThreads) {
    const int k = Factor::kAlongDepth ? e % kStep : e / kTile;
    const int i = Factor::kAlongDepth ? e / kStep : e % kTile;
    const bool inside = depth + k < depth_limit && first + i < limit;
    strip[k][i] = inside ? factor(depth + k, first + i) : T(0);
  }
}

// sums[r][c] of the thread: sum over k in [begin, end) of a(k, i + r) b(k, j + c), where (i, j) is
// the thread's first element of the tile at (tile_i, tile_j).
template <class T, class A, class B>
__device__ void tile_product(const A& a, const B& b, int64_t begin, int64_t end, int64_t tile_i,
                             int64_t limit_i, int64_t tile_j, int64_t limit_j,
                             double (&sums)[kOwn][kOwn]) {
  __shared__ T left[kStep][kTile + 1], right[kStep][kTile + 1];
  const int i = threadIdx.x / (kTile / kOwn) * kOwn, j = threadIdx.x % (kTile / kOwn) * kOwn;
  T own[kOwn][kOwn] = {};
  for (int r = 0; r < kOwn; ++r)
    for (int c = 0; c < kOwn; ++c) sums[r][c] = 0;
  for (int64_t depth = begin; depth < end; depth += kStep) {
    __syncthreads();
    fetch<T>(a, depth, end, tile_i, limit_i, left);
    fetch<T>(b, depth, end, tile_j, limit_j, right);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kStep; ++k)
#pragma unroll
      for (int r = 0; r < kOwn; ++r)
#pragma unroll
        for (int c = 0; c < kOwn; ++c) own[r][c] += left[k][i + r] * right[k][j + c];
    if ((depth - begin + kStep) % kFlush == 0 || depth + kStep >= end) {
      for (int r = 0; r < kOwn; ++r)
        for (int c = 0; c < kOwn; ++c) {
          sums[r][c] += static_cast<double>(own[r][c]);
          own[r][c] = 0;
        }
    }
  }
}

// partial[b][s][i][j] for the tiles on and above the diagonal: the product of deviations over the
// rows of part s.
template <class T>
__global__ void covariance_kernel(Matrices<T> x, const T* high, const T* low, int64_t batch,
                                  int64_t rows, int64_t columns, int64_t parts, double* partial) {
  const int64_t side = (columns + kTile - 1) / kTile;
  const int64_t rows_per_part = (rows + parts - 1) / parts;
  for (int64_t block = blockIdx.x; block < batch * parts * side * side; block += gridDim.x) {
    const int64_t b = block / (parts * side * side), s = block / (side * side) % parts;
    const int64_t tile_i = block / side % side * kTile, tile_j = block % side * kTile;
    if (tile_i > tile_j) continue;
    const int64_t first = s * rows_per_part;
    const int64_t last = first + rows_per_part < rows ? first + rows_per_part : rows;
    const Deviations<T> factor = {x.data + b * x.batch_stride, high + b * columns,
                                  low + b * columns, x.row_stride, x.column_stride};
    double sums[kOwn][kOwn];
    tile_product<T>(factor, factor, first, last, tile_i, columns, tile_j, columns, sums);
    const int64_t i = tile_i + threadIdx.x / (kTile / kOwn) * kOwn;
    const int64_t j = tile_j + threadIdx.x % (kTile / kOwn) * kOwn;
    double* to = partial + (b * parts + s) * columns * columns;
    for (int r = 0; r < kOwn; ++r)
      for (int c = 0; c < kOwn; ++c)
        if (i + r < columns && j + c < columns) to[(i + r) * columns + j + c] = sums[r][c];
  }
}

template <class T>
__global__ void covariance_sum_kernel(const double* partial, int64_t batch, int64_t columns,
                                      int64_t parts, double inverse, T* covariance) {
  const int64_t area = columns * columns;
  for (int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x; at < batch * area;
       at += int64_t(gridDim.x) * kThreads) {
    const int64_t b = at / area, i = at % area / columns, j = at % columns;
    if (i > j) continue;
    double total = 0;
    for (int64_t s = 0; s < parts; ++s) total += partial[(b * parts + s) * area + i * columns + j];
    const T value = static_cast<T>(total * inverse);
    covariance[b * area + i * columns + j] = value;
    covariance[b * area + j * columns + i] = value;
  }
}

// out[b][i][j] = sum over k of deviation(i, k) (g[k][j] + g[j][k]) / (n - correction) + g_mean[j] / n
template <class T>
__global__ void gradient_kernel(Matrices<T> x, const T* high, const T* low, const T* grad_mean,
                                const T* grad_covariance, int64_t batch, int64_t rows,
                                int64_t columns, double inverse, T* out) {
  const int64_t down = (rows + kTile - 1) / kTile, across = (columns + kTile - 1) / kTile;
  for (int64_t block = blockIdx.x; block < batch * down * across; block += gridDim.x) {
    const int64_t b = block / (down * across);
    const int64_t tile_i = block / across % down * kTile, tile_j = block % across * kTile;
    const RowDeviations<T> left = {x.data + b * x.batch_stride, high + b * columns,
                                   low + b * columns, x.row_stride, x.column_stride};
    const CovarianceGradient<T> right = {grad_covariance + b * columns * columns, columns,
                                         inverse};
    double sums[kOwn][kOwn];
    tile_product<T>(left, right, 0, columns, tile_i, rows, tile_j, columns, sums);
    const int64_t i = tile_i + threadIdx.x / (kTile / kOwn) * kOwn;
    const int64_t j = tile_j + threadIdx.x % (kTile / kOwn) * kOwn;
    for (int r = 0; r < kOwn; ++r)
      for (int c = 0; c < kOwn; ++c)
        if (i + r < rows && j + c < columns)
          out[(b * rows + i + r) * columns + j + c] =
              static_cast<T>(sums[r][c]) + grad_mean[b * columns + j + c] / static_cast<T>(rows);
  }
}

// Into how many parts the rows of a matrix go, so that few tall matrices occupy the device and
// partial results of `size` numbers stay within the limit.
int64_t parts_of(int64_t batch, int64_t rows, int64_t size) {
  const int64_t affordable = kPartialLimit / std::max<int64_t>(1, batch * size);
  return std::clamp<int64_t>(ceil_div(rows, kRowsPerBlock), 1, std::max<int64_t>(1, affordable));
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  template <class T>
  void moments(const Tensor& x, double divisor, T* mean, T* covariance) {
    const Sizes sizes(x);
    const int64_t batch = sizes.batch, rows = sizes.rows, columns = sizes.columns;
    if (batch * columns == 0) return;
    T* low = take<T>(batch * columns);
    means(x, mean, low);
    const int64_t parts = parts_of(batch, rows, columns * columns);
    double* partial = take<double>(batch * parts * columns * columns);
    const int64_t side = ceil_div(columns, kTile);
    covariance_kernel<T><<<grid_size(batch * parts * side * side), kThreads, 0, stream_>>>(
        Matrices<T>(x), mean, low, batch, rows, columns, parts, partial);
    covariance_sum_kernel<T>
        <<<grid_size(ceil_div(batch * columns * columns, kThreads)), kThreads, 0, stream_>>>(
            partial, batch, columns, parts, 1 / divisor, covariance);
    check_launch("moments");
  }

  template <class T>
  void moments_backward(const T* grad_mean, const T* grad_covariance, const Tensor& x,
                        double divisor, T* out) {
    const Sizes sizes(x);
    const int64_t batch = sizes.batch, rows = sizes.rows, columns = sizes.columns;
    if (batch * columns == 0) return;
    T* high = take<T>(batch * columns);
    T* low = take<T>(batch * columns);
    means(x, high, low);
    const int64_t tiles = ceil_div(rows, kTile) * ceil_div(columns, kTile);
    gradient_kernel<T><<<grid_size(batch * tiles), kThreads, 0, stream_>>>(
        Matrices<T>(x), high, low, grad_mean, grad_covariance, batch, rows, columns, 1 / divisor,
        out);
    check_launch("moments_backward");
  }

 private:
  // Writes the parts of the means, [batch, columns] each. At least one row and column.
  template <class T>
  void means(const Tensor& x, T* high, T* low) {
    const Sizes sizes(x);
    const int64_t batch = sizes.batch, rows = sizes.rows, columns = sizes.columns;
    const int64_t parts = parts_of(batch, rows, columns);
    double* partial = take<double>(batch * parts * columns);
    double* sum = take<double>(batch * columns);
    const unsigned blocks = grid_size(batch * parts * ceil_div(columns, 32));
    const unsigned mean_blocks = grid_size(ceil_div(batch * columns, kThreads));
    for (int pass = 0; pass < (std::is_same_v<T, double> ? 2 : 1); ++pass) {
      sums_kernel<T><<<blocks, kThreads, 0, stream_>>>(Matrices<T>(x), batch, rows, columns, parts,
                                                       pass ? sum : nullptr, partial);
      means_kernel<T><<<mean_blocks, kThreads, 0, stream_>>>(partial, batch, rows, columns, parts,
                                                             pass == 1, sum, high, low);
    }
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("moments", TORCH_BOX(&sdv_wgangp::moments<sdv_wgangp::Cuda>));
  m.impl("moments_backward", TORCH_BOX(&sdv_wgangp::moments_backward<sdv_wgangp::Cuda>));
}
