// Products by torch on CUDA, through its C interface.
#pragma once

#include "../products.h"

// Weak: CPU builds of torch lack these, and with them nothing calls them.
extern "C"
    __attribute__((weak)) AOTITorchError aoti_torch_cuda_mm_out(AtenTensorHandle, AtenTensorHandle,
                                                                AtenTensorHandle);
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_cuda_addmm_out(
    AtenTensorHandle, AtenTensorHandle, AtenTensorHandle, AtenTensorHandle, double, double);

namespace sdv_wgangp {

// out = a b, or out += a b, all of one type.
inline void multiply_by_torch(const Tensor& out, const Tensor& a, const Tensor& b, bool add) {
  SDV_CHECK(aoti_torch_cuda_mm_out != nullptr && aoti_torch_cuda_addmm_out != nullptr,
            "sdv_wgangp: this torch has no products on CUDA");
  const AOTITorchError error =
      add ? aoti_torch_cuda_addmm_out(out.get(), out.get(), a.get(), b.get(), 1.0, 1.0)
          : aoti_torch_cuda_mm_out(out.get(), a.get(), b.get());
  SDV_CHECK(error == 0, "sdv_wgangp: torch refused the product of a ", shape(a), " and a ",
            shape(b), " matrix");
}

}  // namespace sdv_wgangp
