// A product as an operator of its own, on CUDA: torch's.
#include <torch/csrc/stable/library.h>

#include "../multiply.h"
#include "stream.h"

// Weak: CPU builds of torch lack these, and with them nothing calls them.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_cuda_mm_out(AtenTensorHandle,
                                                                       AtenTensorHandle,
                                                                       AtenTensorHandle);
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_cuda_addmm_out(AtenTensorHandle,
                                                                          AtenTensorHandle,
                                                                          AtenTensorHandle,
                                                                          AtenTensorHandle, double,
                                                                          double);

namespace sdv_wgangp {
namespace {

void multiply(Tensor a, Tensor b, Tensor out, bool add) {
  check_multiply(a, b, out);
  SDV_CHECK(aoti_torch_cuda_mm_out != nullptr && aoti_torch_cuda_addmm_out != nullptr,
            "sdv_wgangp: this torch has no products on CUDA");
  const torch::stable::accelerator::DeviceGuard guard(a.get_device_index());
  const AOTITorchError error =
      add ? aoti_torch_cuda_addmm_out(out.get(), out.get(), a.get(), b.get(), 1.0, 1.0)
          : aoti_torch_cuda_mm_out(out.get(), a.get(), b.get());
  SDV_CHECK(error == 0, "multiply: torch refused the product of ", shape(a), " and ", shape(b));
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("multiply", TORCH_BOX(&sdv_wgangp::multiply));
}
