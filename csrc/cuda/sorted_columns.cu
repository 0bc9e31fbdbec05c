// Sorting of the columns of matrices, and its backward, on CUDA.
//
// One thread block sorts one column, (key, row) pairs in registers and shared memory, by CUB's
// block radix sort, which is stable. The key is sortable_key of formulas shared with the CPU, so
// zeros, infinities and NaN end where they do there; values are fetched by row at the end.
// Columns longer than a block holds go to torch's own sort.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cub/block/block_radix_sort.cuh>
#include <limits>
#include <optional>
#include <tuple>

#include "../batches.h"
#include "../statistics.h"
#include "stream.h"

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

constexpr int64_t kLongest = 4096;

template <class T>
void run_sort(const Tensor& x, Tensor& values, Tensor& index) {
  const Sizes sizes(x);
  const int64_t batch = sizes.batch, n = sizes.rows, columns = sizes.columns;
  const unsigned blocks = grid_size(batch * columns);
  const cudaStream_t stream = current_stream(x);
  const Matrices<T> at(x);
  T* to = values.mutable_data_ptr<T>();
  int64_t* rows = index.mutable_data_ptr<int64_t>();
  const int length = static_cast<int>(n);
  if (n <= 512)
    sort_kernel<T, 128, 4><<<blocks, 128, 0, stream>>>(at, batch, length, columns, to, rows);
  else
    sort_kernel<T, 512, 8><<<blocks, 512, 0, stream>>>(at, batch, length, columns, to, rows);
  check_launch("sorted_columns");
}

// aten::sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False)
//   -> (Tensor values, Tensor indices)
std::tuple<Tensor, Tensor> sort_rows(const Tensor& rows) {
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(rows), torch::stable::detail::from(std::optional<bool>(true)),
      torch::stable::detail::from(int64_t(-1)), torch::stable::detail::from(false)};
  SDV_CHECK(torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION) == 0,
            "sorted_columns: torch's sort failed for rows of shape ", shape(rows));
  return {torch::stable::detail::to<Tensor>(stack[0]),
          torch::stable::detail::to<Tensor>(stack[1])};
}

std::tuple<Tensor, Tensor> sorted_columns(Tensor x) {
  check_batch("sorted_columns", "x", x);
  const Sizes sizes(x);
  const int64_t batch = sizes.batch, n = sizes.rows, columns = sizes.columns;
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  if (n > kLongest) {
    const Tensor rows = torch::stable::contiguous(transposed(x));
    const auto [values, index] = sort_rows(rows);
    return {transposed(values), transposed(index)};
  }
  Tensor values = torch::stable::new_empty(x, batched(x, {columns, n}));
  Tensor index = torch::stable::new_empty(x, batched(x, {columns, n}), ScalarType::Long);
  if (batch * columns * n > 0) {
    if (x.scalar_type() == ScalarType::Float)
      run_sort<float>(x, values, index);
    else
      run_sort<double>(x, values, index);
  }
  return {transposed(values), transposed(index)};
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

template <class T>
void run_unsort(const Tensor& grad, const Tensor& index, Tensor& out) {
  const Sizes sizes(grad);
  const int64_t batch = sizes.batch, n = sizes.rows, columns = sizes.columns;
  const int64_t blocks = (batch * n * columns + kThreads - 1) / kThreads;
  if (blocks == 0) return;
  unsort_kernel<T><<<grid_size(blocks), kThreads, 0, current_stream(grad)>>>(
      Matrices<T>(grad), Matrices<int64_t>(index), batch, n, columns, out.mutable_data_ptr<T>());
  check_launch("sorted_columns_backward");
}

Tensor sorted_columns_backward(Tensor grad, Tensor index) {
  const char* op = "sorted_columns_backward";
  check_batch(op, "grad", grad);
  const Sizes sizes(grad);
  const int64_t batch = sizes.batch, n = sizes.rows, columns = sizes.columns;
  SDV_CHECK(index.dim() == grad.dim() && Sizes(index).batch == batch && Sizes(index).rows == n &&
                Sizes(index).columns == columns,
            op, ": index must have shape ", shape(grad), ", got ", shape(index));
  SDV_CHECK(index.scalar_type() == ScalarType::Long, op, ": index must be int64");
  SDV_CHECK(index.device() == grad.device(), op, ": index must be on the device of grad");
  const torch::stable::accelerator::DeviceGuard guard(grad.get_device_index());
  Tensor out = torch::stable::new_zeros(grad, batched(grad, {n, columns}));
  if (grad.scalar_type() == ScalarType::Float)
    run_unsort<float>(grad, index, out);
  else
    run_unsort<double>(grad, index, out);
  return out;
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("sorted_columns", TORCH_BOX(&sdv_wgangp::sorted_columns));
  m.impl("sorted_columns_backward", TORCH_BOX(&sdv_wgangp::sorted_columns_backward));
}
