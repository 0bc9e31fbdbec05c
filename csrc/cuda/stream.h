// torch's current CUDA stream, asked for so that one library serves CPU and CUDA builds of torch.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include "../checks.h"

// Weak: CPU builds of torch lack the function, and with them nothing calls it.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t,
                                                                                   void**);

namespace sdv_wgangp {

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  SDV_CHECK(aoti_torch_get_current_cuda_stream != nullptr &&
                aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream) == 0,
            "sdv_wgangp: torch did not give its current CUDA stream");
  return static_cast<cudaStream_t>(stream);
}

// torch's own launch checks need symbols that CPU builds lack.
inline void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  SDV_CHECK(error == cudaSuccess, op, ": CUDA launch failed, ", cudaGetErrorString(error));
}

}  // namespace sdv_wgangp
