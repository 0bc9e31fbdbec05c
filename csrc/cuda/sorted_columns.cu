// Sorting of the columns of matrices, and its backward, on CUDA.
//
// One thread block sorts one column, (key, row) pairs in registers and shared memory, by CUB's
// block radix sort, which is stable. The key is sortable_key of formulas shared with the CPU, so
// zeros, infinities and NaN end where they do there; values are fetched by row at the end.
// Columns longer than a block holds go to torch's own sort.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cassert>
#include <cub/block/block_radix_sort.cuh>
#include <limits>

#include "../sorted_columns.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int kThreads = 256;

// Values and index are stored column by column.
template <class T, int Threads, int Items>
__global__ void __launch_bounds__(Threads)
    sort_kernel(Matrices<T> x, int64_t batch, int n, int64_t columns, T* values, int64_t* index) {
  using Key = typename SortableKey<T>::type;
  using Sort = cub::BlockRadixSort<Key, Threads, Items, int>;
  __shared__ typename Sort::TempStorage storage;
  for (int64_t column = blockIdx.x; column < batch * columns; column += gridDim.x) {
    const T* from =
        x.data + column / columns * x.batch_stride + column % columns * x.column_stride;
    Key keys[Items];
    int rows[Items];
#pragma unroll
    for (int k = 0; k < Items; ++k) {
      // A thread's items follow each other: stability is in this order. Beyond the column's end
      // come the largest keys; NaN have them, too, but come before.
      const int row = static_cast<int>(threadIdx.x) * Items + k;
      rows[k] = row;
      keys[k] = row < n ? sortable_key(from[row * x.row_stride]) : std::numeric_limits<Key>::max();
    }
    __syncthreads();
    Sort(storage).SortBlockedToStriped(keys, rows);
#pragma unroll
    for (int k = 0; k < Items; ++k) {
      const int place = k * Threads + static_cast<int>(threadIdx.x);
      if (place < n) {
        values[column * n + place] = from[rows[k] * x.row_stride];
        index[column * n + place] = rows[k];
      }
    }
  }
}

unsigned grid_size(int64_t blocks) {
  return static_cast<unsigned>(std::min<int64_t>(blocks, int64_t(1) << 30));
}

// out[index[i][c]][c] = grad[i][c]; `out` is zero before. Neighbouring threads follow the columns
// of sorted values, as they are stored.
template <class T>
__global__ void unsort_kernel(Matrices<T> grad, Matrices<int64_t> index, int64_t batch, int64_t n,
                              int64_t columns, T* out) {
  for (int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x; at < batch * n * columns;
       at += int64_t(gridDim.x) * kThreads) {
    const int64_t i = at % n, c = at / n % columns, b = at / n / columns;
    const int64_t row =
        index.data[b * index.batch_stride + i * index.row_stride + c * index.column_stride];
    assert(0 <= row && row < n && "index must name rows");
    out[(b * n + row) * columns + c] =
        grad.data[b * grad.batch_stride + i * grad.row_stride + c * grad.column_stride];
  }
}

class Cuda : public CudaDevice {
 public:
  static constexpr int64_t kLongest = 4096;

  using CudaDevice::CudaDevice;

  template <class T>
  void sort(const Tensor& x, T* values, int64_t* index) {
    const Sizes sizes(x);
    const int64_t batch = sizes.batch, columns = sizes.columns;
    const int length = static_cast<int>(sizes.rows);
    const unsigned blocks = grid_size(batch * columns);
    const Matrices<T> at(x);
    if (length <= 512)
      sort_kernel<T, 128, 4>
          <<<blocks, 128, 0, stream_>>>(at, batch, length, columns, values, index);
    else
      sort_kernel<T, 512, 8>
          <<<blocks, 512, 0, stream_>>>(at, batch, length, columns, values, index);
    check_launch("sorted_columns");
  }

  template <class T>
  void unsort(const char* op, const Tensor& grad, const Tensor& index, T* out) {
    const Sizes sizes(grad);
    const int64_t batch = sizes.batch, n = sizes.rows, columns = sizes.columns;
    const int64_t blocks = (batch * n * columns + kThreads - 1) / kThreads;
    if (blocks == 0) return;
    // Rows that no index names, in an index that is no permutation, have gradient 0.
    zero(out, batch * n * columns);
    unsort_kernel<T><<<grid_size(blocks), kThreads, 0, stream_>>>(
        Matrices<T>(grad), Matrices<int64_t>(index), batch, n, columns, out);
    check_launch(op);
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("sorted_columns", TORCH_BOX(&sdv_wgangp::sorted_columns<sdv_wgangp::Cuda>));
  m.impl("sorted_columns_backward",
         TORCH_BOX(&sdv_wgangp::sorted_columns_backward<sdv_wgangp::Cuda>));
}
