// Scores of an ensemble of trees, on the CPU. Threads share blocks of rows.
//
// A block is as many rows as a vector has bytes, its cells laid out column by column. No row walks
// down a tree, which would gather its cells one by one: every node's comparison is made for the
// whole block, one instruction each, and from the deepest nodes up every row keeps the leaf that
// it reaches below the node at hand. At depth 5 that is 31 comparisons and 31 choices for 64 rows.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../tree_scores.h"
#include "vector.h"

// For vectors wider than the 16 bytes of every x86-64, a function each, as gcc's target_clones
// (SDV_CLONES) would have one width in all copies.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SDV_WIDE_VECTORS
#endif

namespace sdv_wgangp {
namespace {

// An inner node: where its column begins in a block, and its threshold four times over, which
// is cheaper to broadcast than one byte. Bytes are compared with a sign, as AVX2 and older
// instructions do it: cells and thresholds are moved by 128.
struct Node {
  int32_t column, threshold;
};
constexpr uint8_t kMoved = 128;

struct alignas(64) CacheLine {
  int8_t bytes[64];
};
constexpr int kLeavesPerLine = sizeof(CacheLine) / sizeof(float);

struct Ensemble {
  int64_t trees, columns;
  int depth;
  const Node* nodes;
  const float* leaves;  // aligned, every tree's to at least two vectors of 64 bytes
  int64_t leaf_stride;
};

template <int Width>
struct Vectors {
  typedef int8_t Bytes __attribute__((vector_size(Width)));
  typedef int32_t Ints __attribute__((vector_size(Width)));
  typedef uint64_t Words __attribute__((vector_size(Width)));
  typedef float Floats __attribute__((vector_size(Width)));
};

// The leaves that the rows of a block reach, counted from the first one below the node.
template <int Width, int Levels>
SDV_INLINE void find_leaves(const int8_t* cells, const Node* nodes, int node,
                            typename Vectors<Width>::Bytes& leaf) {
  using Bytes = typename Vectors<Width>::Bytes;
  using Ints = typename Vectors<Width>::Ints;
  if constexpr (Levels == 0) {
    leaf = Bytes{};
  } else {
    const Bytes cell = *reinterpret_cast<const Bytes*>(cells + nodes[node].column);
    const Bytes threshold = reinterpret_cast<Bytes>(Ints{} + nodes[node].threshold);
    Bytes right;
    find_leaves<Width, Levels - 1>(cells, nodes, 2 * node + 1, leaf);
    find_leaves<Width, Levels - 1>(cells, nodes, 2 * node + 2, right);
    constexpr auto below = static_cast<int8_t>(1 << (Levels - 1));
    leaf = cell > threshold ? right + below : leaf;
  }
}

// The values of 16 leaves out of 2^Depth, by permutations of registers, which read the low 5 bits
// of every 32.
template <int Depth>
SDV_INLINE void pick(const float* values, const Vectors<64>::Ints& at,
                     Vectors<64>::Floats& picked) {
  if constexpr (Depth <= 5) {
    const auto* table = reinterpret_cast<const Vectors<64>::Floats*>(values);
    picked = __builtin_shuffle(table[0], table[1], at);
  } else {
    constexpr int half = 1 << (Depth - 1);
    Vectors<64>::Floats upper;
    pick<Depth - 1>(values, at, picked);
    pick<Depth - 1>(values + half, at, upper);
    picked = (at & half) != 0 ? upper : picked;
  }
}

// Sums of the leaves' values, in the trees' order.
template <int Width, int Depth>
SDV_INLINE void score_block(const Ensemble& ensemble, const int8_t* cells, float* scores) {
  using Bytes = typename Vectors<Width>::Bytes;
  constexpr int kInner = (1 << Depth) - 1;
  constexpr int kParts = sizeof(float);  // vectors of sums for one of bytes
  const Node* nodes = ensemble.nodes;
  const float* values = ensemble.leaves;
  const auto end = values + ensemble.trees * ensemble.leaf_stride;
  if constexpr (Width == 64) {
    // Places are bytes, permutations read 32 bits: each shift brings up every fourth row.
    using Ints = typename Vectors<Width>::Ints;
    using Floats = typename Vectors<Width>::Floats;
    Floats sums[kParts] = {};
    for (; values != end; values += ensemble.leaf_stride, nodes += kInner) {
      Bytes leaf;
      find_leaves<Width, Depth>(cells, nodes, 0, leaf);
      for (int k = 0; k < kParts; ++k) {
        const Ints at = reinterpret_cast<Ints>(leaf) >> (8 * k);
        Floats value;
        pick<Depth>(values, at, value);
        sums[k] += value;
      }
    }
    for (int k = 0; k < kParts; ++k)
      for (int i = 0; i < Width / kParts; ++i) scores[kParts * i + k] = sums[k][i];
  } else {
    float sums[Width] = {};
    for (; values != end; values += ensemble.leaf_stride, nodes += kInner) {
      Bytes leaf;
      find_leaves<Width, Depth>(cells, nodes, 0, leaf);
      for (int i = 0; i < Width; ++i) sums[i] += values[static_cast<uint8_t>(leaf[i])];
    }
    for (int i = 0; i < Width; ++i) scores[i] = sums[i];
  }
}

template <int Width, int Depth = 0>
SDV_INLINE void score_block_at(const Ensemble& ensemble, const int8_t* cells, float* scores) {
  if constexpr (Depth == kDeepestTree) {
    score_block<Width, Depth>(ensemble, cells, scores);
  } else {
    if (ensemble.depth == Depth)
      score_block<Width, Depth>(ensemble, cells, scores);
    else
      score_block_at<Width, Depth + 1>(ensemble, cells, scores);
  }
}

template <int Width>
SDV_INLINE void store(const typename Vectors<Width>::Bytes& cells, int8_t* to) {
  *reinterpret_cast<typename Vectors<Width>::Bytes*>(to) = cells ^ static_cast<int8_t>(kMoved);
}

// The cells of a block's rows in eight columns: tiles of 8 x 8 bytes, one in every 64 bits of the
// vectors, are transposed by swapping what lies off their diagonals, in halves, quarters, bytes.
template <int Width>
SDV_INLINE void load_tiles(const uint8_t* cells, int64_t row_stride, int8_t* block) {
  using Words = typename Vectors<Width>::Words;
  Words rows[8];
  for (int i = 0; i < 8; ++i)
    for (int tile = 0; tile < Width / 8; ++tile) {
      uint64_t word;
      std::memcpy(&word, cells + (8 * tile + i) * row_stride, sizeof(word));
      rows[i][tile] = word;
    }
  for (int step = 4; step > 0; step /= 2) {
    const uint64_t lower = ~uint64_t(0) / ((uint64_t(1) << 8 * step) + 1);
    for (int i = 0; i < 8; ++i) {
      if (i & step) continue;
      const Words swapped = (rows[i] >> 8 * step ^ rows[i + step]) & lower;
      rows[i] ^= swapped << 8 * step;
      rows[i + step] ^= swapped;
    }
  }
  for (int c = 0; c < 8; ++c)
    store<Width>(reinterpret_cast<typename Vectors<Width>::Bytes>(rows[c]), block + c * Width);
}

// The cells of `rows` rows, column by column. Of further rows the block keeps what it had.
template <int Width>
SDV_INLINE void load_cells(const Matrices<uint8_t>& from, int64_t columns, int64_t first,
                           int64_t rows, int8_t* block) {
  // Copies: bytes written could be these numbers, for all that the compiler knows.
  const int64_t row_stride = from.row_stride, column_stride = from.column_stride;
  const uint8_t* cells = from.data + first * row_stride;
  if (rows == Width && column_stride == 1 && columns >= 8) {
    for (int64_t c = 0; c < columns; c += 8) {
      const int64_t begin = std::min(c, columns - 8);
      load_tiles<Width>(cells + begin, row_stride, block + begin * Width);
    }
  } else if (rows == Width && row_stride == 1) {
    for (int64_t c = 0; c < columns; ++c) {
      typename Vectors<Width>::Bytes column;
      std::memcpy(&column, cells + c * column_stride, sizeof(column));
      store<Width>(column, block + c * Width);
    }
  } else {
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = 0; r < rows; ++r)
        block[c * Width + r] =
            static_cast<int8_t>(cells[r * row_stride + c * column_stride] ^ kMoved);
  }
}

// Rows [begin, end). `block` is scratch for their cells.
template <int Width>
SDV_INLINE void score_rows(const Ensemble& ensemble, const Matrices<uint8_t>& cells, int64_t begin,
                           int64_t end, int8_t* block, float* out) {
  for (int64_t row = begin; row < end; row += Width) {
    float scores[Width];
    const int64_t rows = std::min<int64_t>(Width, end - row);
    load_cells<Width>(cells, ensemble.columns, row, rows, block);
    score_block_at<Width>(ensemble, block, scores);
    std::copy_n(scores, rows, out + row);
  }
}

#define SDV_INSTANTIATE(WIDTH)                                                      \
  void score_rows_##WIDTH(const Ensemble& ensemble, const Matrices<uint8_t>& cells, \
                          int64_t begin, int64_t end, int8_t* block, float* out) {  \
    score_rows<WIDTH>(ensemble, cells, begin, end, block, out);                     \
  }

SDV_INSTANTIATE(16)
#ifdef SDV_WIDE_VECTORS
__attribute__((target("avx2"))) SDV_INSTANTIATE(32) __attribute__((target("avx512bw")))
SDV_INSTANTIATE(64)
#endif

    struct Kernel {
  int64_t width;
  decltype(&score_rows_16) score_rows;
};

// The widest that the processor has and the environment allows.
Kernel widest() {
#ifdef SDV_WIDE_VECTORS
  const char* wanted = std::getenv("SDV_WGANGP_VECTOR_BYTES");
  const int most = wanted ? std::atoi(wanted) : 64;
  if (most >= 64 && __builtin_cpu_supports("avx512bw")) return {64, score_rows_64};
  if (most >= 32 && __builtin_cpu_supports("avx2")) return {32, score_rows_32};
#endif
  return {16, score_rows_16};
}

std::vector<Node> lay_out_nodes(const char* op, const Trees& trees, int64_t width) {
  const int64_t inner = trees.inner();
  std::vector<Node> nodes(static_cast<size_t>(trees.count * inner));
  for (size_t i = 0; i < nodes.size(); ++i) {
    const int64_t feature = trees.features[i];
    SDV_CHECK(0 <= feature && feature < trees.columns, op, ": features must lie in [0, ",
              trees.columns, "), got ", feature, " in tree ", i / inner, ", node ", i % inner);
    const uint32_t moved = trees.thresholds[i] ^ kMoved;
    nodes[i] = {static_cast<int32_t>(feature * width), static_cast<int32_t>(moved * 0x01010101u)};
  }
  return nodes;
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  static void score(const char* op, const Trees& trees, const Matrices<uint8_t>& cells,
                    int64_t rows, float* scores) {
    static const Kernel kernel = widest();
    const std::vector<Node> nodes = lay_out_nodes(op, trees, kernel.width);
    const int64_t lines = std::max(2, trees.leaf_count() / kLeavesPerLine);
    std::vector<CacheLine> values(static_cast<size_t>(trees.count * lines));
    auto* leaf_values = reinterpret_cast<float*>(values.data());
    for (int64_t t = 0; t < trees.count; ++t)
      std::copy_n(trees.leaves + t * trees.leaf_count(), trees.leaf_count(),
                  leaf_values + t * lines * kLeavesPerLine);
    const Ensemble ensemble{
        .trees = trees.count,
        .columns = trees.columns,
        .depth = trees.depth,
        .nodes = nodes.data(),
        .leaves = leaf_values,
        .leaf_stride = lines * kLeavesPerLine,
    };
    const int64_t blocks = (rows + kernel.width - 1) / kernel.width;
    const int64_t work = trees.columns + trees.count * trees.leaf_count() / 16;
    torch::stable::parallel_for(
        0, blocks, rows_per_thread(kernel.width * work), [&](int64_t begin, int64_t end) {
          const auto bytes = static_cast<size_t>(trees.columns * kernel.width);
          std::vector<CacheLine> block(1 + bytes / sizeof(CacheLine));
          kernel.score_rows(ensemble, cells, begin * kernel.width,
                            std::min(end * kernel.width, rows), block.data()->bytes, scores);
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("tree_scores", TORCH_BOX(&sdv_wgangp::tree_scores<sdv_wgangp::Cpu>));
}
