// Teams of threads that own one (row, column) pair each, shared by the operators on the ragged
// blocks of a row.
//
//     team = one warp          columns of tens of levels; eight teams share a thread block
//     team = 256 threads       columns of a thousand levels and more
//
// pair_at() asserts: a file that includes this undefines NDEBUG before its first include.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>

#include "../checks.h"

namespace sdv_wgangp {

constexpr int kWarp = 32;
constexpr int kThreads = 256;
constexpr int64_t kWideColumn = 1024;
constexpr unsigned kAll = 0xffffffffu;

struct Maximum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};
struct Minimum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};
struct Sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

// Combines `value` over the team's threads; all of them get the result.
template <int Team, class T, class Combine>
__device__ T team_reduce(T value, Combine combine) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = combine(value, __shfl_xor_sync(kAll, value, distance));
  if constexpr (Team > kWarp) {
    __shared__ T partial[Team / kWarp];
    __syncthreads();
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
    __syncthreads();
    value = partial[0];
#pragma unroll
    for (int warp = 1; warp < Team / kWarp; ++warp) value = combine(value, partial[warp]);
  }
  return value;
}

// What the team's threads read before is read, and what they wrote is seen by all of them.
template <int Team>
__device__ void team_sync() {
  if constexpr (Team > kWarp)
    __syncthreads();
  else
    __syncwarp();
}

// The (row, column) pairs, dealt out to the teams of the grid.
struct Pair {
  int64_t row, column, start, size;
};

__device__ inline Pair pair_at(int64_t index, const int64_t* offsets, int64_t columns,
                               int64_t width) {
  const int64_t row = index / columns;
  const int64_t column = index - row * columns;
  const int64_t start = offsets[column];
  const int64_t stop = offsets[column + 1];
  assert(0 <= start && start < stop && stop <= width && (column > 0 || start == 0) &&
         (column + 1 < columns || stop == width) &&
         "offsets must ascend from 0 to the width of the logits");
  return {row, column, start, stop - start};
}

// What can be known of `offsets` without reading them, whose shape was checked; contiguous.
inline Tensor checked_offsets(const char* op, const Tensor& offsets, int64_t width) {
  SDV_CHECK(offsets.size(0) > 1 || width == 0, op, ": offsets name no column of rows of width ",
            width);
  return torch::stable::contiguous(offsets);
}

// Enough thread blocks for every team to have one pair, within the grid's limit; the kernels
// loop over what is beyond it.
inline unsigned grid_size(int64_t pairs, int team) {
  const int64_t teams = kThreads / team;
  return static_cast<unsigned>(std::min<int64_t>((pairs + teams - 1) / teams, 1 << 30));
}

}  // namespace sdv_wgangp
