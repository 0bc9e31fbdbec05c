// A product as an operator of its own, on CUDA: torch's.
#include <torch/csrc/stable/library.h>

#include "../multiply.h"
#include "device.h"
#include "products.h"

namespace sdv_wgangp {
namespace {

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  static void multiply(const Tensor& a, const Tensor& b, const Tensor& out, bool add) {
    multiply_by_torch(out, a, b, add);
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("multiply", TORCH_BOX(&sdv_wgangp::multiply<sdv_wgangp::Cuda>));
}
