// moments and its backward over the device: arguments, results, types.
#pragma once

#include <tuple>

#include "batches.h"
#include "statistics.h"

namespace sdv_wgangp {

// Returns the divisor of the covariance.
inline double check_moments(const char* op, const Tensor& x, int64_t correction) {
  check_batch(op, "x", x);
  SDV_CHECK(correction >= 0, op, ": correction must not be negative, got ", correction);
  SDV_CHECK(Sizes(x).rows > correction, op, ": x must have more than ", correction,
            " rows (correction), got shape ", shape(x));
  return static_cast<double>(Sizes(x).rows - correction);
}

template <class Device>
std::tuple<Tensor, Tensor> moments(Tensor x, int64_t correction) {
  const double divisor = check_moments("moments", x, correction);
  Device device(x);
  const int64_t columns = Sizes(x).columns;
  Tensor mean = torch::stable::new_empty(x, batched(x, {columns}));
  Tensor covariance = torch::stable::new_empty(x, batched(x, {columns, columns}));
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    device.moments(x, divisor, mean.mutable_data_ptr<T>(), covariance.mutable_data_ptr<T>());
  });
  return {mean, covariance};
}

template <class Device>
Tensor moments_backward(Tensor grad_mean, Tensor grad_covariance, Tensor x, int64_t correction) {
  const char* op = "moments_backward";
  const double divisor = check_moments(op, x, correction);
  const Sizes sizes(x);
  check_like(op, "x", x, "grad_mean", grad_mean, batched(x, {sizes.columns}));
  check_like(op, "x", x, "grad_covariance", grad_covariance,
             batched(x, {sizes.columns, sizes.columns}));
  Device device(x);
  // Gradients are often expanded.
  const Tensor g_mean = torch::stable::contiguous(grad_mean);
  const Tensor g_covariance = torch::stable::contiguous(grad_covariance);
  Tensor out = torch::stable::new_empty(x, batched(x, {sizes.rows, sizes.columns}));
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    device.moments_backward(g_mean.const_data_ptr<T>(), g_covariance.const_data_ptr<T>(), x,
                            divisor, out.mutable_data_ptr<T>());
  });
  return out;
}

}  // namespace sdv_wgangp
