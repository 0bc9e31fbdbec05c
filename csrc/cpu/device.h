// What operators made of several passes need on the CPU besides the passes: scratch memory,
// products, and conversions between the type of sums and that of products.
#pragma once

#include <cstddef>
#include <vector>

#include "../products.h"
#include "tiles.h"
#include "vector.h"

namespace sdv_wgangp {

// Scratch memory of a step. The thread keeps it for its next step: fresh pages from the system
// would cost as much time as the arithmetic.
class Scratch {
 public:
  // Takes everything back. The largest block stays, unless it is unusually large.
  void reset();
  void* take(size_t bytes);
  ~Scratch();

 private:
  static constexpr size_t kAlign = 64, kLeast = size_t(1) << 20, kMost = size_t(1) << 28;
  struct Block {
    void* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t used_ = 0;
};

// The numbers as bfloat16, and back: written to `to`, or added to what is there.
void convert_numbers(const float* from, int64_t count, bfloat16* to);
void widen_numbers(const bfloat16* from, int64_t count, bool add, float* to);
void widen_numbers(const float* from, int64_t count, bool add, float* to);
void widen_numbers(const double* from, int64_t count, bool add, double* to);

// Memory, products and conversions; devices of operators add their passes. There is at most one
// at a time on a thread, as they share its scratch memory.
class CpuDevice {
 public:
  CpuDevice();
  CpuDevice(const CpuDevice&) = delete;
  CpuDevice& operator=(const CpuDevice&) = delete;

  // Uninitialised, and there until the next device is made.
  template <class T>
  T* take(int64_t count) {
    return static_cast<T*>(memory_.take(static_cast<size_t>(count) * sizeof(T)));
  }

  // out = a b, or out += a b. Products of bfloat16 may go to float32.
  template <class O, class A, class B>
  void multiply(Matrix<O> out, Matrix<A> a, Matrix<B> b, bool add = false) {
    if (out.rows == 0 || out.columns == 0) return;
    if constexpr (std::is_same_v<std::remove_const_t<A>, bfloat16>) {
      if (has_tiles())
        return multiply_tiles(out, a, b, add, pack_buffer(packed_bytes(b.rows, b.columns)));
    }
    if constexpr (!std::is_same_v<std::remove_const_t<A>, O>) {
      auto* product = take<std::remove_const_t<A>>(out.rows * out.columns);
      multiply(matrix(product, out.rows, out.columns), a, b);
      widen(product, out.rows * out.columns, add, out.data);
    } else {
      const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
      const Tensor to = out.tensor(cpu), x = a.tensor(cpu), y = b.tensor(cpu);
      const AOTITorchError error =
          add ? aoti_torch_cpu_addmm_out(to.get(), to.get(), x.get(), y.get(), 1.0, 1.0)
              : aoti_torch_cpu_mm_out(to.get(), x.get(), y.get());
      check_product(error == 0, a, b);
    }
  }

  // Whether products of bfloat16 go to float32 directly.
  bool widens_products() const { return has_tiles(); }

  template <class S>
  void zero(S* to, int64_t count) {
    for (int64_t i = 0; i < count; ++i) to[i] = 0;
  }
  template <class S, class T>
  void convert(const S* from, int64_t count, T* to) {
    convert_numbers(from, count, to);
  }
  template <class S, class T>
  void widen(const T* from, int64_t count, bool add, S* to) {
    widen_numbers(from, count, add, to);
  }

 private:
  void* pack_buffer(int64_t bytes) {
    if (bytes > packed_bytes_) packed_ = take<char>(packed_bytes_ = bytes);
    return packed_;
  }

  Scratch& memory_;
  void* packed_ = nullptr;
  int64_t packed_bytes_ = 0;
};

}  // namespace sdv_wgangp
