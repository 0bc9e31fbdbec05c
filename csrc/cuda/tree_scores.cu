// Scores of an ensemble of trees, on CUDA.
//
// A thread owns a row and walks it down every tree: the rows of a thread block and the tree at
// hand stay in the nearest cache. Sums are in float32 in the trees' order, as on the CPU.
//
// Nothing waits for the host. What features name is checked by the device.
#undef NDEBUG
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cassert>

#include "../tree_scores.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMostBlocks = 1 << 30;

__global__ void score_kernel(Trees trees, Matrices<uint8_t> cells, int64_t rows, float* scores) {
  const int inner = trees.inner();
  for (int64_t row = int64_t(blockIdx.x) * kThreads + threadIdx.x; row < rows;
       row += int64_t(gridDim.x) * kThreads) {
    const uint8_t* own = cells.data + row * cells.row_stride;
    float score = 0;
    for (int64_t t = 0; t < trees.count; ++t) {
      const int32_t* features = trees.features + t * inner;
      const uint8_t* thresholds = trees.thresholds + t * inner;
      int node = 0;
      for (int level = 0; level < trees.depth; ++level) {
        const int64_t feature = features[node];
        assert(0 <= feature && feature < trees.columns && "features must name columns");
        node = 2 * node + 1 + (own[feature * cells.column_stride] > thresholds[node] ? 1 : 0);
      }
      score += trees.leaves[t * trees.leaf_count() + node - inner];
    }
    scores[row] = score;
  }
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  void score(const char* op, const Trees& trees, const Matrices<uint8_t>& cells, int64_t rows,
             float* scores) {
    if (rows == 0) return;
    const int64_t blocks = std::min((rows + kThreads - 1) / kThreads, kMostBlocks);
    score_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, stream_>>>(trees, cells, rows,
                                                                          scores);
    check_launch(op);
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("tree_scores", TORCH_BOX(&sdv_wgangp::tree_scores<sdv_wgangp::Cuda>));
}
