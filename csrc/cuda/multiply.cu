// A product as an operator of its own, on CUDA: torch's.
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>

#include "../multiply.h"
#include "products.h"

namespace sdv_wgangp {
namespace {

void multiply(Tensor a, Tensor b, Tensor out, bool add) {
  check_multiply(a, b, out);
  const torch::stable::accelerator::DeviceGuard guard(a.get_device_index());
  multiply_by_torch(out, a, b, add);
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("multiply", TORCH_BOX(&sdv_wgangp::multiply));
}
