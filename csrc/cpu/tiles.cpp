#include "tiles.h"

#include "device.h"

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    __GNUC__ >= 11
#define SDV_TILES
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
// gcc 12 warns of its own intrinsics.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace sdv_wgangp {

#ifdef SDV_TILES

#define SDV_TILE_CODE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,amx-tile,amx-bf16")))

namespace {

constexpr int64_t kSide = 16;          // rows of a tile, and float32 in one of them
constexpr int64_t kDepth = 2 * kSide;  // bfloat16 in a row of a tile
constexpr int64_t kBlock = 2 * kSide;  // the kernel's sums are 2 x 2 tiles
// So much of the right side is packed at a time, to stay in the cache: columns, and of the inner
// index where sums can go on in float32.
constexpr int64_t kVectors = 32 * kBlock, kLongest = 12 * kDepth;

struct alignas(64) Tile {
  uint32_t pairs[kSide][kSide];
};

int64_t ceil_div(int64_t x, int64_t y) { return (x + y - 1) / y; }
int64_t min(int64_t x, int64_t y) { return x < y ? x : y; }

// One side of a product: element k of vector i is at data[i * stride + k * step], where the
// vectors are the rows of the left or the columns of the right matrix. One of the two is 1.
struct Side {
  const bfloat16* data;
  int64_t vectors, depth, stride, step;

  Side from_vector(int64_t begin) const {
    return {data + begin * stride, min(vectors - begin, kVectors), depth, stride, step};
  }
  Side from_depth(int64_t begin) const {
    return {data + begin * step, vectors, min(depth - begin, kLongest), stride, step};
  }
};

bool ask_for_tiles() {
  const char* wanted = std::getenv("SDV_WGANGP_TILES");
  if (wanted && wanted[0] == '0') return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h, since Linux 5.16
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// All tiles 16 rows of 64 bytes. A constant: gcc believes that the instruction reads 8 bytes, and
// would leave out writing the rest of a variable.
struct alignas(64) Layout {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr Layout kLayout;

// Loops over the 16 rows of a tile are unrolled, which keeps the rows in registers.
#define SDV_ROWS(i, step) _Pragma("GCC unroll 16") for (int i = 0; i < kSide; i += step)

SDV_TILE_CODE inline __attribute__((always_inline)) void transpose(__m512i (&r)[kSide]) {
  __m512i t[kSide];
  SDV_ROWS(i, 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  SDV_ROWS(i, 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Lane l of r[4 g + c] now holds column 4 l + c of rows 4 g to 4 g + 3.
  SDV_ROWS(i, 4) {
    const int c = i / 4;
    const __m512i even01 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88);
    const __m512i even23 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88);
    const __m512i odd01 = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xdd);
    const __m512i odd23 = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(even01, even23, 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
    t[12 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
  }
  SDV_ROWS(i, 1) r[i] = t[i];
}

// Bits for the first `count` numbers.
int64_t first_bits(int64_t count) { return (int64_t(1) << count) - 1; }

// The tile of 16 vectors from i and 32 numbers of each from k, zeros beyond the end. Numbers stand
// in pairs of neighbours in k. `upright`: a row of the tile is a vector, as the left side wants
// it; otherwise a column is.
template <bool upright>
SDV_TILE_CODE void pack(const Side& side, int64_t i, int64_t k, Tile& to) {
  const int64_t vectors = min(side.vectors - i, kSide), depth = min(side.depth - k, kDepth);
  const bfloat16* from = side.data + i * side.stride + k * side.step;
  __m512i rows[kSide];
  const auto store = [&]() SDV_TILE_CODE {
    SDV_ROWS(v, 1) _mm512_store_si512(to.pairs[v], rows[v]);
  };
  // Nothing is read where no bit is set.
  if (side.step == 1) {
    const int64_t valid = first_bits(depth);
    SDV_ROWS(v, 1)
    rows[v] = _mm512_maskz_loadu_epi16(v < vectors ? valid : 0, from + v * side.stride);
    if constexpr (!upright) transpose(rows);
    store();
  } else {
    const int64_t valid = first_bits(vectors);
    SDV_ROWS(v, 1) {
      const __m256i first =
          _mm256_maskz_loadu_epi16(2 * v < depth ? valid : 0, from + 2 * v * side.step);
      const __m256i second =
          _mm256_maskz_loadu_epi16(2 * v + 1 < depth ? valid : 0, from + (2 * v + 1) * side.step);
      rows[v] = _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                                _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
    }
    if constexpr (upright) transpose(rows);
    store();
  }
}

// Blocks of 32 vectors, each two rows or two columns of tiles, [2][tiles along k]. Memory is read
// from its beginning to its end: in columns it would be too far apart to be fetched ahead.
template <bool upright>
SDV_TILE_CODE void pack_blocks(const Side& side, int64_t begin, int64_t end, Tile* to) {
  const int64_t depth = ceil_div(side.depth, kDepth);
  const auto pack_half = [&](int64_t half, int64_t k) SDV_TILE_CODE {
    Tile& tile = to[(half - 2 * begin) * depth + k];
    if (half * kSide < side.vectors)
      pack<upright>(side, half * kSide, k * kDepth, tile);
    else
      tile = Tile{};
  };
  if (side.step == 1) {
    for (int64_t half = 2 * begin; half < 2 * end; ++half)
      for (int64_t k = 0; k < depth; ++k) pack_half(half, k);
  } else {
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t half = 2 * begin; half < 2 * end; ++half) pack_half(half, k);
  }
}

SDV_TILE_CODE void multiply_block(const Tile* a, const Tile* b, int64_t count,
                                  float (&sums)[kBlock][kBlock]) {
  constexpr int64_t bytes = kSide * sizeof(uint32_t);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < count; ++k) {
    _tile_loadd(4, a + k, bytes);
    _tile_loadd(6, b + k, bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + count + k, bytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + count + k, bytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, &sums[0][0], sizeof(sums[0]));
  _tile_stored(1, &sums[0][kSide], sizeof(sums[0]));
  _tile_stored(2, &sums[kSide][0], sizeof(sums[0]));
  _tile_stored(3, &sums[kSide][kSide], sizeof(sums[0]));
}

// One row of a block, of which the first `count` numbers are wanted.
SDV_TILE_CODE inline void write(const float* sums, int64_t count, bool, bfloat16* to) {
  const __m512bh numbers = _mm512_cvtne2ps_pbh(_mm512_load_ps(sums + kSide), _mm512_load_ps(sums));
  _mm512_mask_storeu_epi16(to, first_bits(count), reinterpret_cast<const __m512i&>(numbers));
}
SDV_TILE_CODE inline void write(const float* sums, int64_t count, bool add, float* to) {
  const int64_t valid = first_bits(count), beyond = valid >> kSide;
  __m512 left = _mm512_load_ps(sums), right = _mm512_load_ps(sums + kSide);
  if (add) {
    left = _mm512_add_ps(left, _mm512_maskz_loadu_ps(valid, to));
    right = _mm512_add_ps(right, _mm512_maskz_loadu_ps(beyond, to + kSide));
  }
  _mm512_mask_storeu_ps(to, valid, left);
  _mm512_mask_storeu_ps(to + kSide, beyond, right);
}

// Threads share blocks of 32 rows. A left side whose rows are columns in memory is packed as a
// whole, any other one block by block.
template <class O>
SDV_TILE_CODE void multiply_rows(Matrix<O> out, const Side& left, const Tile* right, bool add,
                                 int64_t begin, int64_t end) {
  static thread_local Scratch kept;
  kept.reset();
  const int64_t depth = ceil_div(left.depth, kDepth);
  const int64_t together = left.step == 1 ? 1 : end - begin;
  auto* packed = static_cast<Tile*>(kept.take(2 * together * depth * sizeof(Tile)));
  alignas(64) float sums[kBlock][kBlock];
  _tile_loadconfig(&kLayout);
  for (int64_t block = begin; block < end; ++block) {
    if ((block - begin) % together == 0) pack_blocks<true>(left, block, block + together, packed);
    const Tile* rows = packed + (block - begin) % together * 2 * depth;
    for (int64_t j = 0; j < out.columns; j += kBlock) {
      multiply_block(rows, right + j / kSide * depth, depth, sums);
      const int64_t i = block * kBlock;
      O* to = out.data + i * out.row_stride + j;
      for (int64_t r = 0; r < min(kBlock, out.rows - i); ++r, to += out.row_stride)
        write(sums[r], min(kBlock, out.columns - j), add, to);
    }
  }
  _tile_release();
}

template <class O>
void multiply_packed(Matrix<O> out, const Side& left, const Side& right, bool add, Tile* packed) {
  const int64_t depth = ceil_div(left.depth, kDepth);
  const auto grain = [](int64_t cost) { return kElementsPerThread / (cost + 1) + 1; };
  torch::stable::parallel_for(0, ceil_div(right.vectors, kBlock), grain(kBlock * right.depth),
                              [&](int64_t begin, int64_t end) {
                                pack_blocks<false>(right, begin, end, packed + 2 * begin * depth);
                              });
  // 64 multiplications take as long as what other passes do with an element.
  torch::stable::parallel_for(
      0, ceil_div(left.vectors, kBlock), grain(kBlock * left.depth * right.vectors / 64),
      [&](int64_t begin, int64_t end) { multiply_rows(out, left, packed, add, begin, end); });
}

}  // namespace

bool has_tiles() {
  static const bool there = ask_for_tiles();
  return there;
}

int64_t packed_bytes(int64_t inner, int64_t columns) {
  return 2 * ceil_div(min(columns, kVectors), kBlock) * ceil_div(inner, kDepth) * sizeof(Tile);
}

template <class O>
void multiply_tiles(Matrix<O> out, Matrix<const bfloat16> a, Matrix<const bfloat16> b, bool add,
                    void* packed) {
  auto* tiles = static_cast<Tile*>(packed);
  const Side left{a.data, a.rows, a.columns, a.row_stride, a.column_stride};
  const Side right{b.data, b.columns, b.rows, b.column_stride, b.row_stride};
  for (int64_t j = 0; j < out.columns; j += kVectors) {
    const auto to = out.column_range(j, min(j + kVectors, out.columns));
    const Side columns = right.from_vector(j);
    if constexpr (std::is_same_v<O, float>) {
      for (int64_t k = 0; k == 0 || k < a.columns; k += kLongest)
        multiply_packed(to, left.from_depth(k), columns.from_depth(k), add || k > 0, tiles);
    } else {
      SDV_CHECK(!add, "sdv_wgangp: sums of bfloat16 products must be float32");
      multiply_packed(to, left, columns, false, tiles);
    }
  }
}

#else

bool has_tiles() { return false; }
int64_t packed_bytes(int64_t, int64_t) { return 0; }
template <class O>
void multiply_tiles(Matrix<O>, Matrix<const bfloat16>, Matrix<const bfloat16>, bool, void*) {}

#endif

template void multiply_tiles(Matrix<bfloat16>, Matrix<const bfloat16>, Matrix<const bfloat16>,
                             bool, void*);
template void multiply_tiles(Matrix<float>, Matrix<const bfloat16>, Matrix<const bfloat16>, bool,
                             void*);

}  // namespace sdv_wgangp
