// Adam without momentum and the weight average, on CUDA: each number is read and written once.
//
// Many tensors share a launch: their addresses travel in a table in the kernel's arguments, and
// every thread block works on one part of one tensor. The rates are read where they are, so that
// a captured CUDA graph sees the ones of its replay.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

#include "../adam.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPart = 4096;  // numbers that one thread block works on
constexpr int kTensors = 64;     // a table of them fits in the 4 KiB of a kernel's arguments
constexpr int64_t kMostBlocks = 1 << 30;

template <class S, class G>
struct Table {
  int count = 0;
  int64_t blocks = 0;
  // The first thread block of every tensor, ascending.
  int64_t first[kTensors];
  int64_t size[kTensors];
  const G* gradient[kTensors];
  S *parameter[kTensors], *square[kTensors], *average[kTensors];
};
static_assert(sizeof(Table<double, double>) + 64 <= 4096,
              "more than a kernel's arguments may take");

template <class S, class G>
__global__ void update_kernel(Table<S, G> table, const double* now, AdamSettings settings) {
  const auto rates = adam_rates<S>(now, settings);
  int k = 0;
  while (k + 1 < table.count && table.first[k + 1] <= blockIdx.x) ++k;
  const int64_t begin = (blockIdx.x - table.first[k]) * kPart;
  const int64_t end = begin + kPart < table.size[k] ? begin + kPart : table.size[k];
  const G* gradient = table.gradient[k];
  S* parameter = table.parameter[k];
  S* square = table.square[k];
  S* average = table.average[k];
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads)
    adam_update(rates, S(widen(gradient[i])), parameter[i], square[i],
                average ? average + i : nullptr);
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  template <class S, class G>
  void update(const std::vector<AdamTensor<S, G>>& tensors, const double* now,
              const AdamSettings& settings) {
    Table<S, G> table;
    const auto launch = [&] {
      if (table.count == 0) return;
      update_kernel<S, G>
          <<<static_cast<unsigned>(table.blocks), kThreads, 0, stream_>>>(table, now, settings);
      check_launch("adam_step");
      table.count = 0;
      table.blocks = 0;
    };
    for (const AdamTensor<S, G>& t : tensors) {
      const int64_t blocks = (t.size + kPart - 1) / kPart;
      if (table.count == kTensors || table.blocks + blocks > kMostBlocks) launch();
      const int k = table.count++;
      table.first[k] = table.blocks;
      table.blocks += blocks;
      table.size[k] = t.size;
      table.gradient[k] = t.gradient;
      table.parameter[k] = t.parameter;
      table.square[k] = t.square;
      table.average[k] = t.average;
    }
    launch();
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("adam_step", TORCH_BOX(&sdv_wgangp::adam_step<sdv_wgangp::Cuda>));
}
