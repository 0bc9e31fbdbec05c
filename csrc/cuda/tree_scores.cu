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

#include "../batches.h"
#include "../tree_scores.h"
#include "stream.h"

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

Tensor tree_scores(Tensor cells, Tensor features, Tensor thresholds, Tensor leaves) {
  const char* op = "tree_scores";
  const HeldTrees held(op, cells, features, thresholds, leaves);
  const torch::stable::accelerator::DeviceGuard guard(cells.get_device_index());
  const int64_t rows = cells.size(0);
  Tensor scores = torch::stable::new_empty(leaves, {rows});
  if (rows == 0) return scores;
  const int64_t blocks = std::min((rows + kThreads - 1) / kThreads, kMostBlocks);
  score_kernel<<<static_cast<unsigned>(blocks), kThreads, 0, current_stream(cells)>>>(
      held.view(), Matrices<uint8_t>(cells), rows, scores.mutable_data_ptr<float>());
  check_launch(op);
  return scores;
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("tree_scores", TORCH_BOX(&sdv_wgangp::tree_scores));
}
