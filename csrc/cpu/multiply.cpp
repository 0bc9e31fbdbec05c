// A product as an operator of its own, on the CPU: with tile instructions where there are any.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <type_traits>

#include "../multiply.h"
#include "device.h"
#include "tiles.h"

namespace sdv_wgangp {
namespace {

// The matrix, copied if neither the elements of a row nor those of a column are adjacent.
Tensor with_lines(const Tensor& x) {
  const bool lines = x.stride(1) == 1 || x.stride(0) == 1;
  return lines ? x : torch::stable::contiguous(x);
}

template <class T>
Matrix<T> as_matrix(const Tensor& x) {
  return {static_cast<T*>(x.mutable_data_ptr()), x.size(0), x.size(1), x.stride(0), x.stride(1)};
}

// out += the sums, rounded once.
SDV_CLONES void add_sums(const float* sums, int64_t count, bfloat16* out) {
  for (int64_t i = 0; i < count; ++i) narrow(widen(out[i]) + sums[i], out[i]);
}

template <class T>
void run(const Tensor& a, const Tensor& b, const Tensor& out, bool add) {
  CpuDevice device;
  if (a.size(1) == 0) {  // the empty sum
    for (int64_t i = 0; i < out.size(0) && !add; ++i)
      std::fill_n(as_matrix<T>(out).row_range(i, i + 1).data, out.size(1), T{});
    return;
  }
  const auto to = as_matrix<T>(out);
  if constexpr (std::is_same_v<T, bfloat16>) {
    if (add) {
      float* sums = device.take<float>(to.rows * to.columns);
      device.multiply(matrix(sums, to.rows, to.columns), as_matrix<const T>(a),
                      as_matrix<const T>(b));
      for (int64_t i = 0; i < to.rows; ++i)
        add_sums(sums + i * to.columns, to.columns, to.data + i * to.row_stride);
      return;
    }
  }
  device.multiply(to, as_matrix<const T>(a), as_matrix<const T>(b), add);
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  static void multiply(const Tensor& a, const Tensor& b, const Tensor& out, bool add) {
    Tensor left = with_lines(a);
    const Tensor right = with_lines(b);
    // torch's products of bfloat16 read beyond the columns of a slice on the left: what is there is
    // multiplied by 0, which does not help where it is NaN.
    const bool slice = left.stride(1) == 1 && left.stride(0) != left.size(1);
    if (a.scalar_type() == ScalarType::BFloat16 && slice && !has_tiles())
      left = torch::stable::clone(left);
    switch (a.scalar_type()) {
      case ScalarType::BFloat16:
        return run<bfloat16>(left, right, out, add);
      case ScalarType::Float:
        return run<float>(left, right, out, add);
      default:
        return run<double>(left, right, out, add);
    }
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("multiply", TORCH_BOX(&sdv_wgangp::multiply<sdv_wgangp::Cpu>));
}
