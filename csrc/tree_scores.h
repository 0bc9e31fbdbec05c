// tree_scores over the device: arguments and result. The trees are perfect, binary, of one depth.
#pragma once

#include "batches.h"
#include "formulas.h"

namespace sdv_wgangp {

constexpr int kDeepestTree = 8;

// Pointers into tensors that somebody else holds. A tree's inner nodes lie breadth first: the
// children of node i are 2 i + 1 and 2 i + 2, and leaf l is the child 2^depth - 1 + l.
struct Trees {
  int64_t count, columns;
  int depth;
  const int32_t* features;    // [count, inner()]
  const uint8_t* thresholds;  // [count, inner()]
  const float* leaves;        // [count, leaf_count()]

  SDV_INLINE int leaf_count() const { return 1 << depth; }
  SDV_INLINE int inner() const { return leaf_count() - 1; }
};

// The checked arguments; the trees contiguous and kept alive.
class HeldTrees {
 public:
  HeldTrees(const char* op, const Tensor& cells, const Tensor& features, const Tensor& thresholds,
            const Tensor& leaves) {
    SDV_CHECK(cells.dim() == 2, op, ": cells must have two dimensions (rows, columns), got shape ",
              shape(cells));
    // Places in a block of rows are kept in 32 bits.
    SDV_CHECK(cells.size(1) < int64_t(1) << 25, op, ": cells is too wide, got shape ",
              shape(cells));
    SDV_CHECK(cells.scalar_type() == ScalarType::Byte, op, ": cells must be uint8");
    while (depth_ < kDeepestTree && leaves.dim() == 2 && leaves.size(1) > int64_t(1) << depth_)
      ++depth_;
    SDV_CHECK(leaves.dim() == 2 && leaves.size(1) == int64_t(1) << depth_, op,
              ": leaves must have shape [trees, 2^depth], depth 0 to ", kDeepestTree, ", got ",
              shape(leaves));
    check_shape(op, "features", features, {leaves.size(0), leaves.size(1) - 1});
    check_shape(op, "thresholds", thresholds, {leaves.size(0), leaves.size(1) - 1});
    SDV_CHECK(features.scalar_type() == ScalarType::Int, op, ": features must be int32");
    SDV_CHECK(thresholds.scalar_type() == ScalarType::Byte, op, ": thresholds must be uint8");
    SDV_CHECK(leaves.scalar_type() == ScalarType::Float, op, ": leaves must be float32");
    check_device(op, "features", features, cells);
    check_device(op, "thresholds", thresholds, cells);
    check_device(op, "leaves", leaves, cells);
    columns_ = cells.size(1);
    features_ = torch::stable::contiguous(features);
    thresholds_ = torch::stable::contiguous(thresholds);
    leaves_ = torch::stable::contiguous(leaves);
  }

  Trees view() const {
    return {
        .count = leaves_.size(0),
        .columns = columns_,
        .depth = depth_,
        .features = static_cast<const int32_t*>(features_.const_data_ptr()),
        .thresholds = static_cast<const uint8_t*>(thresholds_.const_data_ptr()),
        .leaves = static_cast<const float*>(leaves_.const_data_ptr()),
    };
  }

 private:
  static void check_device(const char* op, const char* name, const Tensor& tensor,
                           const Tensor& cells) {
    SDV_CHECK(tensor.device() == cells.device(), op, ": ", name,
              " must be on the device of cells");
  }

  Tensor features_, thresholds_, leaves_;
  int64_t columns_ = 0;
  int depth_ = 0;
};

template <class Device>
Tensor tree_scores(Tensor cells, Tensor features, Tensor thresholds, Tensor leaves) {
  const char* op = "tree_scores";
  const HeldTrees held(op, cells, features, thresholds, leaves);
  Device device(cells);
  Tensor scores = torch::stable::new_empty(leaves, {cells.size(0)});
  device.score(op, held.view(), Matrices<uint8_t>(cells), cells.size(0),
               scores.mutable_data_ptr<float>());
  return scores;
}

}  // namespace sdv_wgangp
