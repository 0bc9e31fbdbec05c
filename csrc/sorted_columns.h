// sorted_columns and its backward over the device: arguments, results, types.
#pragma once

#include <array>
#include <optional>
#include <tuple>

#include "batches.h"
#include "statistics.h"

namespace sdv_wgangp {

// aten::sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False)
//   -> (Tensor values, Tensor indices)
inline std::tuple<Tensor, Tensor> sort_by_torch(const Tensor& rows) {
  std::array<StableIValue, 4> stack{
      torch::stable::detail::from(rows), torch::stable::detail::from(std::optional<bool>(true)),
      torch::stable::detail::from(int64_t(-1)), torch::stable::detail::from(false)};
  SDV_CHECK(torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION) == 0,
            "sorted_columns: torch's sort failed for rows of shape ", shape(rows));
  return {torch::stable::detail::to<Tensor>(stack[0]),
          torch::stable::detail::to<Tensor>(stack[1])};
}

// Values and index are stored column by column. Columns longer than Device::kLongest go to torch.
template <class Device>
std::tuple<Tensor, Tensor> sorted_columns(Tensor x) {
  check_batch("sorted_columns", "x", x);
  Device device(x);
  const Sizes sizes(x);
  if (sizes.rows > Device::kLongest) {
    const auto [values, index] = sort_by_torch(torch::stable::contiguous(transposed(x)));
    return {transposed(values), transposed(index)};
  }
  Tensor values = torch::stable::new_empty(x, batched(x, {sizes.columns, sizes.rows}));
  Tensor index =
      torch::stable::new_empty(x, batched(x, {sizes.columns, sizes.rows}), ScalarType::Long);
  if (sizes.batch * sizes.rows * sizes.columns > 0)
    with_type_of(x, [&](auto type) {
      using T = decltype(type);
      device.sort(x, values.mutable_data_ptr<T>(), index.mutable_data_ptr<int64_t>());
    });
  return {transposed(values), transposed(index)};
}

template <class Device>
Tensor sorted_columns_backward(Tensor grad, Tensor index) {
  const char* op = "sorted_columns_backward";
  check_batch(op, "grad", grad);
  check_shape(op, "index", index, sizes_of(grad));
  SDV_CHECK(index.scalar_type() == ScalarType::Long, op, ": index must be int64");
  SDV_CHECK(index.device() == grad.device(), op, ": index must be on the device of grad");
  Device device(grad);
  Tensor out = torch::stable::new_empty(grad, sizes_of(grad));
  with_type_of(grad, [&](auto type) {
    using T = decltype(type);
    device.unsort(op, grad, index, out.mutable_data_ptr<T>());
  });
  return out;
}

}  // namespace sdv_wgangp
