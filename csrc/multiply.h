// multiply over the device: arguments.
#pragma once

#include "checks.h"
#include "products.h"

namespace sdv_wgangp {

inline void check_multiply(const Tensor& a, const Tensor& b, const Tensor& out) {
  const char* op = "multiply";
  SDV_CHECK(a.dim() == 2, op, ": a must have two dimensions, got shape ", shape(a));
  SDV_CHECK(b.dim() == 2 && b.size(0) == a.size(1), op, ": b must have shape [", a.size(1),
            ", columns], got ", shape(b));
  check_shape(op, "out", out, {a.size(0), b.size(1)});
  const ScalarType type = a.scalar_type();
  SDV_CHECK(
      type == ScalarType::BFloat16 || type == ScalarType::Float || type == ScalarType::Double, op,
      ": a must be bfloat16, float32 or float64");
  check_same(op, "b", b, "a", a);
  check_same(op, "out", out, "a", a);
  check_written(op, "out", out);
}

template <class Device>
void multiply(Tensor a, Tensor b, Tensor out, bool add) {
  check_multiply(a, b, out);
  Device device(a);
  device.multiply(a, b, out, add);
}

}  // namespace sdv_wgangp
