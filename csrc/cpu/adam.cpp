// Adam without momentum and the weight average, on the CPU: each number is read and written once.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <vector>

#include "../adam.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kPart = 8192;  // numbers that one task works on

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

template <class S, class G>
struct Task {
  const G* gradient;
  int64_t count;
  S *parameter, *square, *average;
};

void adam_step(std::vector<Tensor> parameters, std::vector<Tensor> gradients,
               std::vector<Tensor> squares, std::vector<Tensor> averages, Tensor rates,
               double beta, double epsilon, double decay) {
  check_adam(parameters, gradients, squares, averages, rates, beta, epsilon, decay);
  const Tensor held = torch::stable::contiguous(rates);
  const double* now = held.const_data_ptr<double>();
  for_types([&](auto sum, auto operand, ScalarType type, ScalarType of_gradient) {
    using S = decltype(sum);
    using G = decltype(operand);
    const AdamRates<S> own{static_cast<S>(now[0]), static_cast<S>(now[1]),  static_cast<S>(now[2]),
                           static_cast<S>(beta),   static_cast<S>(epsilon), static_cast<S>(decay)};
    std::vector<Task<S, G>> tasks;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].scalar_type() != type || gradients[i].scalar_type() != of_gradient)
        continue;
      const G* g = static_cast<const G*>(gradients[i].const_data_ptr());
      S* p = parameters[i].mutable_data_ptr<S>();
      S* v = squares[i].mutable_data_ptr<S>();
      S* a = averages.empty() ? nullptr : averages[i].mutable_data_ptr<S>();
      for (int64_t begin = 0; begin < parameters[i].numel(); begin += kPart)
        tasks.push_back({g + begin, std::min(kPart, parameters[i].numel() - begin), p + begin,
                         v + begin, a ? a + begin : nullptr});
    }
    torch::stable::parallel_for(
        0, static_cast<int64_t>(tasks.size()), 4, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            const Task<S, G>& task = tasks[static_cast<size_t>(t)];
            kernel<G>(own, task.gradient, task.count, task.parameter, task.square, task.average);
          }
        });
  });
}

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("adam_step", TORCH_BOX(&sdv_wgangp::adam_step));
}
