#include "device.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace sdv_wgangp {

void Scratch::reset() {
  const size_t kept = blocks_.empty() || blocks_.back().size > kMost ? 0 : 1;
  while (blocks_.size() > kept) {
    std::free(blocks_.front().data);
    blocks_.erase(blocks_.begin());
  }
  used_ = 0;
}

void* Scratch::take(size_t bytes) {
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
    // At least twice the size each time, so that one block serves after few steps.
    const size_t size = std::max(bytes, blocks_.empty() ? kLeast : 2 * blocks_.back().size);
    blocks_.reserve(blocks_.size() + 1);
    void* data = std::aligned_alloc(kAlign, size);
    if (data == nullptr) throw std::bad_alloc();
    blocks_.push_back({data, size});
    used_ = 0;
  }
  void* taken = static_cast<char*>(blocks_.back().data) + used_;
  used_ += bytes;
  return taken;
}

Scratch::~Scratch() {
  for (const Block& block : blocks_) std::free(block.data);
}

static Scratch& scratch_of_thread() {
  static thread_local Scratch kept;
  kept.reset();
  return kept;
}

CpuDevice::CpuDevice() : memory_(scratch_of_thread()) {}

template <class S, class T>
static SDV_INLINE void widen_all(const T* from, int64_t count, bool add, S* to) {
  if (add)
    for (int64_t i = 0; i < count; ++i) to[i] += widen(from[i]);
  else
    for (int64_t i = 0; i < count; ++i) to[i] = widen(from[i]);
}

SDV_CLONES void convert_numbers(const float* from, int64_t count, bfloat16* to) {
  for (int64_t i = 0; i < count; ++i) narrow(from[i], to[i]);
}
SDV_CLONES void widen_numbers(const bfloat16* from, int64_t count, bool add, float* to) {
  widen_all(from, count, add, to);
}
SDV_CLONES void widen_numbers(const float* from, int64_t count, bool add, float* to) {
  widen_all(from, count, add, to);
}
SDV_CLONES void widen_numbers(const double* from, int64_t count, bool add, double* to) {
  widen_all(from, count, add, to);
}

}  // namespace sdv_wgangp
