// symmetric_eigen and its backward over the device: arguments, results, types.
#pragma once

#include <array>
#include <string>
#include <tuple>

#include "batches.h"
#include "jacobi.h"

namespace sdv_wgangp {

// aten::linalg_eigh(Tensor self, str UPLO="L") -> (Tensor eigenvalues, Tensor eigenvectors)
// aten::linalg_eigvalsh(Tensor self, str UPLO="L") -> Tensor
//
// Elements of `a` must be finite. Eigenvectors come stored one after the other; none where they
// are not wanted.
inline std::tuple<Tensor, Tensor> solve_by_torch(const Tensor& a, bool wanted) {
  const char* name = wanted ? "aten::linalg_eigh" : "aten::linalg_eigvalsh";
  std::array<StableIValue, 2> stack{torch::stable::detail::from(a),
                                    torch::stable::detail::from(std::string("L"))};
  SDV_CHECK(torch_call_dispatcher(name, "", stack.data(), TORCH_ABI_VERSION) == 0,
            "symmetric_eigen: ", name, " failed, a has shape ", shape(a));
  Tensor values = torch::stable::contiguous(torch::stable::detail::to<Tensor>(stack[0]));
  Tensor vectors =
      wanted ? torch::stable::contiguous(transposed(torch::stable::detail::to<Tensor>(stack[1])))
             : torch::stable::new_empty(a, batched(a, {0, 0}));
  return {values, vectors};
}

// A device says which matrices Jacobi's method is for (by_jacobi); the others go to torch's solver
// by way of Device::solve, which hides elements that are not finite. Eigenvectors are stored one
// after the other.
template <class Device>
std::tuple<Tensor, Tensor> symmetric_eigen(Tensor a, bool vectors) {
  check_square("symmetric_eigen", "a", a);
  Device device(a);
  const int64_t batch = Sizes(a).batch, size = Sizes(a).rows;
  const Tensor held = torch::stable::contiguous(a);
  return with_type_of(a, [&](auto type) -> std::tuple<Tensor, Tensor> {
    using T = decltype(type);
    if (!Device::by_jacobi(batch, size)) {
      const auto [values, stored] = device.template solve<T>(held, vectors);
      return {values, transposed(stored)};
    }
    const int64_t kept = vectors ? size : 0;
    Tensor values = torch::stable::new_empty(a, batched(a, {size}));
    Tensor stored = torch::stable::new_empty(a, batched(a, {kept, kept}));
    if (batch * size > 0)
      device.jacobi(held.const_data_ptr<T>(), batch, static_cast<int>(size),
                    values.mutable_data_ptr<T>(),
                    vectors ? stored.mutable_data_ptr<T>() : nullptr);
    return {values, transposed(stored)};
  });
}

template <class Device>
Tensor symmetric_eigen_backward(Tensor grad, Tensor vectors, Tensor a) {
  const char* op = "symmetric_eigen_backward";
  check_square(op, "a", a);
  const int64_t batch = Sizes(a).batch, size = Sizes(a).rows;
  check_like(op, "a", a, "grad", grad, batched(a, {size}));
  check_like(op, "a", a, "vectors", vectors, batched(a, {size, size}));
  Device device(a);
  const Tensor g = torch::stable::contiguous(grad);
  const Tensor q = torch::stable::contiguous(transposed(vectors));
  Tensor out = torch::stable::new_empty(a, batched(a, {size, size}));
  with_type_of(a, [&](auto type) {
    using T = decltype(type);
    device.eigen_backward(g.const_data_ptr<T>(), q.const_data_ptr<T>(), batch, size,
                          out.mutable_data_ptr<T>());
  });
  return out;
}

}  // namespace sdv_wgangp
