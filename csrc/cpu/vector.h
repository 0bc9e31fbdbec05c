// Vector code for the processor at hand, chosen when the library is loaded.
#pragma once

#include <cstdint>
#include <limits>

// SDV_CLONES compiles a function several times, for AVX-512, for AVX2 with fused multiply-add and
// for any x86-64, and lets the loader pick; no -march flag is needed and the library runs
// anywhere. It goes on free functions over plain pointers; what they call must be inlined into
// them (SDV_INLINE). It rests on GNU indirect functions, hence glibc; elsewhere (other
// processors, musl, macOS) there is one copy for the baseline.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GNUC__ >= 12
#define SDV_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SDV_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define SDV_CLONES
#endif

namespace sdv_wgangp {

// A reduction in floating point may not be reordered by the compiler, so it is written as this
// many partial results side by side: one AVX-512 register of floats.
constexpr int kLanes = 16;

// Enough elements for one thread that starting a second one pays.
constexpr int64_t kElementsPerThread = 16384;

inline int64_t rows_per_thread(int64_t width) {
  return width > 0 ? (kElementsPerThread + width - 1) / width : kElementsPerThread;
}

}  // namespace sdv_wgangp
