// The dense channels of rows and the gradient back through them, on CUDA.
//
// Same operators and formulas as cpu/row_views.cpp. A thread block owns one row. Its scores lie in
// scratch memory of the row's own, so that any number of channels can be whitened; a block reads
// back what it has just written, from its cache. The whitening matrix is read row by row in both
// directions: forward the threads stand side by side along a row of it, backward a warp takes the
// inner product with one. Where several channels belong to one position or column, the thread that
// owns the result adds them up in their order: the same arguments give the same bits.
//
// Nothing waits for the host. What is named (levels, channels, positions) is checked by the device.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cassert>

#include "../row_views.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int kWarp = 32;
constexpr int64_t kMostThreads = 256;
constexpr int64_t kMostBlocks = 1 << 30;
constexpr unsigned kAll = 0xffffffffu;

// Asserts that everything the row looks up is there.
template <class S>
__device__ void check_row(const ViewTables<S>& t, const ViewedRows<S>& rows,
                          const int64_t* levels) {
  for (int64_t c = threadIdx.x; c < rows.columns; c += blockDim.x)
    assert(0 <= levels[c] && levels[c] < t.levels && "levels must be those of the tables");
  for (int64_t b = threadIdx.x; b < t.binned_count; b += blockDim.x) {
    const int64_t place = t.binned[2 * b], column = t.binned[2 * b + 1];
    assert(0 <= place && place < rows.places && "binned must name positions");
    assert(0 <= column && column < rows.columns && "binned must name columns");
  }
  for (int64_t o = threadIdx.x; o < t.ordered_count; o += blockDim.x) {
    const int64_t column = t.ordered[2 * o], place = t.ordered[2 * o + 1];
    assert(0 <= column && column < rows.columns && "ordered must name columns");
    assert(-1 <= place && place < rows.places && "ordered must name positions, or -1 for none");
  }
  for (int64_t s = threadIdx.x; s < t.scored_count; s += blockDim.x)
    assert(0 <= t.scored[s] && t.scored[s] < t.ordered_count && "scored must name ordered ones");
  __syncthreads();
}

// Channel j of the scores times the whitening matrix.
template <class S>
__device__ S white_channel(const ViewTables<S>& t, const S* scores, int64_t j) {
  S sum = 0;
  for (int64_t i = 0; i < t.scored_count; ++i)
    sum += scores[i] * t.whitening[i * t.scored_count + j];
  return sum;
}

// `scratch` has scored_count elements for every row.
template <class S>
__global__ void view_kernel(ViewTables<S> t, ViewedRows<S> rows, S* scratch, S* out) {
  for (int64_t row = blockIdx.x; row < rows.count; row += gridDim.x) {
    const int64_t* levels = rows.level(row);
    const S* positions = rows.position(row);
    S* channels = out + row * t.channels();
    S* ranks = channels + t.binned_count;
    S* white = ranks + t.ordered_count;
    S* scores = scratch + row * t.scored_count;
    check_row(t, rows, levels);
    for (int64_t b = threadIdx.x; b < t.binned_count; b += blockDim.x)
      channels[b] = t.shown(levels, positions, b);
    for (int64_t o = threadIdx.x; o < t.ordered_count; o += blockDim.x)
      ranks[o] = t.rank(levels, positions, o);
    for (int64_t s = threadIdx.x; s < t.scored_count; s += blockDim.x)
      scores[s] = t.score(t.rank(levels, positions, t.scored[s]));
    __syncthreads();
    for (int64_t s = threadIdx.x; s < t.scored_count; s += blockDim.x)
      white[s] = t.clamped(white_channel(t, scores, s));
  }
}

// `scratch` has 3 * scored_count + ordered_count elements for every row.
template <class S>
__global__ void view_backward_kernel(ViewTables<S> t, ViewedRows<S> rows, const S* gradient,
                                     int64_t gradient_stride, S* scratch, S* to_positions,
                                     S* slopes) {
  const int lane = threadIdx.x % kWarp;
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  for (int64_t row = blockIdx.x; row < rows.count; row += gridDim.x) {
    const int64_t* levels = rows.level(row);
    const S* positions = rows.position(row);
    const S* g = gradient + row * gradient_stride;
    const S* g_rank = g + t.binned_count;
    const S* g_white = g_rank + t.ordered_count;
    S* scores = scratch + row * (3 * t.scored_count + t.ordered_count);
    S* white = scores + t.scored_count;
    S* at_score = white + t.scored_count;
    S* at_rank = at_score + t.scored_count;
    check_row(t, rows, levels);

    for (int64_t s = threadIdx.x; s < t.scored_count; s += blockDim.x)
      scores[s] = t.score(t.rank(levels, positions, t.scored[s]));
    __syncthreads();
    for (int64_t s = threadIdx.x; s < t.scored_count; s += blockDim.x)
      white[s] = t.inside(white_channel(t, scores, s)) ? g_white[s] : S(0);
    __syncthreads();
    for (int64_t s = warp; s < t.scored_count; s += warps) {
      const S* across = t.whitening + s * t.scored_count;
      S sum = 0;
      for (int64_t j = lane; j < t.scored_count; j += kWarp) sum += across[j] * white[j];
#pragma unroll
      for (int distance = kWarp / 2; distance > 0; distance /= 2)
        sum += __shfl_xor_sync(kAll, sum, distance);
      if (lane == 0) at_score[s] = sum;
    }
    __syncthreads();
    for (int64_t o = threadIdx.x; o < t.ordered_count; o += blockDim.x) {
      S sum = g_rank[o];
      for (int64_t s = 0; s < t.scored_count; ++s)
        if (t.scored[s] == o)
          sum += at_score[s] * t.score_slope(t.rank(levels, positions, o), scores[s]);
      at_rank[o] = sum;
    }
    __syncthreads();

    for (int64_t p = threadIdx.x; p < rows.places; p += blockDim.x) {
      S sum = 0;
      for (int64_t b = 0; b < t.binned_count; ++b)
        if (t.binned[2 * b] == p && t.is_shown(levels, b)) sum += g[b];
      for (int64_t o = 0; o < t.ordered_count; ++o)
        if (t.ordered[2 * o + 1] == p) sum += at_rank[o] * t.span(levels, o);
      to_positions[row * rows.places + p] = sum;
    }
    for (int64_t c = threadIdx.x; c < rows.columns; c += blockDim.x) {
      S to_start = 0, to_span = 0;
      for (int64_t o = 0; o < t.ordered_count; ++o) {
        if (t.ordered[2 * o] != c) continue;
        const int64_t place = t.ordered[2 * o + 1];
        to_start += at_rank[o];
        if (place >= 0) to_span += at_rank[o] * positions[place];
      }
      slopes[row * rows.columns + c] = to_start;
      slopes[(rows.count + row) * rows.columns + c] = to_span;
    }
  }
}

// A thread block for each row; the kernels loop over what is beyond the grid's limit.
unsigned blocks(int64_t rows) { return static_cast<unsigned>(std::min(rows, kMostBlocks)); }

// Whole warps, a thread for each of the row's results where they are few.
unsigned threads(int64_t results) {
  const int64_t warps = std::max<int64_t>((results + kWarp - 1) / kWarp, 1);
  return static_cast<unsigned>(std::min(warps * kWarp, kMostThreads));
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  template <class S>
  void view(const char* op, const ViewTables<S>& t, const ViewedRows<S>& rows, S* out) {
    if (rows.count * t.channels() == 0) return;
    S* scratch = take<S>(rows.count * t.scored_count);
    view_kernel<S>
        <<<blocks(rows.count), threads(t.channels()), 0, stream_>>>(t, rows, scratch, out);
    check_launch(op);
  }

  template <class S>
  void view_backward(const char* op, const ViewTables<S>& t, const ViewedRows<S>& rows,
                     const S* gradient, int64_t gradient_stride, S* to_positions, S* slopes) {
    if (rows.count * (rows.columns + rows.places) == 0) return;
    S* scratch = take<S>(rows.count * (3 * t.scored_count + t.ordered_count));
    const unsigned team = threads(std::max({rows.columns, rows.places, t.scored_count}));
    view_backward_kernel<S><<<blocks(rows.count), team, 0, stream_>>>(
        t, rows, gradient, gradient_stride, scratch, to_positions, slopes);
    check_launch(op);
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("row_views", TORCH_BOX(&sdv_wgangp::row_views<sdv_wgangp::Cuda>));
  m.impl("row_views_backward", TORCH_BOX(&sdv_wgangp::row_views_backward<sdv_wgangp::Cuda>));
}
