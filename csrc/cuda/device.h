// What operators need on CUDA besides their kernels: torch's stream, and scratch memory.
#pragma once

#include <vector>

#include "stream.h"

namespace sdv_wgangp {

// Devices of operators add their passes. Nothing waits for the host.
class CudaDevice {
 public:
  explicit CudaDevice(const Tensor& like)
      : like_(like), guard_(like.get_device_index()), stream_(current_stream(like)) {}

  // Uninitialised, from torch's allocator, which gives the memory to nobody else before the stream
  // has done with it.
  template <class T>
  T* take(int64_t count) {
    held_.push_back(torch::stable::new_empty(like_, {count}, TypeOf<T>::value));
    return static_cast<T*>(held_.back().mutable_data_ptr());
  }

  template <class S>
  void zero(S* to, int64_t count) {
    if (count == 0) return;
    const cudaError_t error = cudaMemsetAsync(to, 0, count * sizeof(S), stream_);
    SDV_CHECK(error == cudaSuccess, "sdv_wgangp: cudaMemsetAsync failed, ",
              cudaGetErrorString(error));
  }

 protected:
  const Tensor like_;
  const torch::stable::accelerator::DeviceGuard guard_;
  const cudaStream_t stream_;

 private:
  std::vector<Tensor> held_;
};

}  // namespace sdv_wgangp
