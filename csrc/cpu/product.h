// A small matrix product whose partial sums stay in registers, for statistics.
//
// torch's own products serve networks: their precision follows set_float32_matmul_precision, which
// training lowers to bfloat16. Statistics need float32 whatever that setting is; and the product
// of a matrix with itself needs only half of what a general product computes.
#pragma once

#include <cstdint>

#include "vector.h"

namespace sdv_wgangp {

// c[r][j] = sum over k < depth of a[r * a_row + k * a_step] * b[k * columns + j], for all
// r < rows and j < columns: one full tile. `b` is a panel, i.e. `columns` adjacent columns of a
// matrix stored row by row.
template <class T>
struct Tile {
  int64_t rows, columns;
  void (*product)(int64_t depth, const T* a, int64_t a_row, int64_t a_step, const T* b, T* c);
};

constexpr int64_t kMaxTile = 8 * 32;  // elements of the largest tile below

// The compiler's vectors, not its vectoriser, which would not keep the sums in registers. As it
// breaks up vectors before target_clones makes its copies, each copy is a function with a target
// of its own. ROWS x 2 vectors of BYTES are the sums, 2 more a row of b; each value of a is
// multiplied with both.
#define SDV_TILE(NAME, TARGET, BYTES, ROWS)                                                      \
  template <class T>                                                                             \
  TARGET void NAME(int64_t depth, const T* a, int64_t a_row, int64_t a_step, const T* b, T* c) { \
    typedef T Vector __attribute__((vector_size(BYTES), aligned(alignof(T)), may_alias));        \
    constexpr int64_t lanes = BYTES / sizeof(T);                                                 \
    Vector left[ROWS] = {}, right[ROWS] = {};                                                    \
    for (int64_t k = 0; k < depth; ++k) {                                                        \
      const Vector first = *reinterpret_cast<const Vector*>(b + k * 2 * lanes);                  \
      const Vector second = *reinterpret_cast<const Vector*>(b + k * 2 * lanes + lanes);         \
      _Pragma("GCC unroll 8") for (int r = 0; r < ROWS; ++r) {                                   \
        const T value = a[r * a_row + k * a_step];                                               \
        left[r] += value * first;                                                                \
        right[r] += value * second;                                                              \
      }                                                                                          \
    }                                                                                            \
    for (int r = 0; r < ROWS; ++r) {                                                             \
      *reinterpret_cast<Vector*>(c + r * 2 * lanes) = left[r];                                   \
      *reinterpret_cast<Vector*>(c + r * 2 * lanes + lanes) = right[r];                          \
    }                                                                                            \
  }

SDV_TILE(tile_baseline, , 16, 4)
#if defined(__x86_64__) && defined(__GNUC__)
SDV_TILE(tile_avx2, __attribute__((target("avx2,fma"))), 32, 4)
SDV_TILE(tile_avx512, __attribute__((target("avx512f,fma"))), 64, 8)
#endif

// The tile for the processor at hand.
template <class T>
Tile<T> best_tile() {
  constexpr int64_t size = sizeof(T);
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f")) return {8, 2 * 64 / size, tile_avx512<T>};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return {4, 2 * 32 / size, tile_avx2<T>};
#endif
  return {4, 2 * 16 / size, tile_baseline<T>};
}

}  // namespace sdv_wgangp
