// Adam without momentum and the weight average, on the CPU: each number is read and written once.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

#include "../adam.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kPart = 8192;  // numbers that are worked on together

template <class S, class G>
SDV_INLINE void update(const AdamRates<S>& rates, const G* gradient, int64_t n,
                       S* __restrict parameter, S* __restrict square, S* __restrict average) {
  if (average)
    for (int64_t i = 0; i < n; ++i)
      adam_update(rates, S(widen(gradient[i])), parameter[i], square[i], average + i);
  else
    for (int64_t i = 0; i < n; ++i)
      adam_update(rates, S(widen(gradient[i])), parameter[i], square[i], static_cast<S*>(nullptr));
}

#define SDV_INSTANTIATE(S, G)                                                         \
  SDV_CLONES void update_##G(const AdamRates<S>& rates, const G* gradient, int64_t n, \
                             S* parameter, S* square, S* average) {                   \
    update<S, G>(rates, gradient, n, parameter, square, average);                     \
  }

SDV_INSTANTIATE(float, float)
SDV_INSTANTIATE(float, bfloat16)
SDV_INSTANTIATE(double, double)

template <class G>
constexpr auto kernel = update_float;
template <>
constexpr auto kernel<bfloat16> = update_bfloat16;
template <>
constexpr auto kernel<double> = update_double;

struct Cpu {
  explicit Cpu(const Tensor&) {}

  template <class S, class G>
  void update(const std::vector<AdamTensor<S, G>>& tensors, const double* now,
              const AdamSettings& settings) {
    const auto rates = adam_rates<S>(now, settings);
    std::vector<AdamTensor<S, G>> parts;
    for (const AdamTensor<S, G>& t : tensors)
      for (int64_t begin = 0; begin < t.size; begin += kPart)
        parts.push_back({
            .size = std::min(kPart, t.size - begin),
            .gradient = t.gradient + begin,
            .parameter = t.parameter + begin,
            .square = t.square + begin,
            .average = t.average ? t.average + begin : nullptr,
        });
    torch::stable::parallel_for(
        0, static_cast<int64_t>(parts.size()), 4, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const AdamTensor<S, G>& part = parts[static_cast<size_t>(i)];
            kernel<G>(rates, part.gradient, part.size, part.parameter, part.square, part.average);
          }
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("adam_step", TORCH_BOX(&sdv_wgangp::adam_step<sdv_wgangp::Cpu>));
}
