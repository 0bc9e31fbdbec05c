// adam_step over the device: arguments, types, and the formula.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

template <class S>
struct AdamRates {
  S rate, correction, ema_weight, beta, epsilon, decay;
};

// One number; `average` may be null. It stays where it is beside a parameter that is no number any
// more, or so large that its square is none, so that what was learned outlives a step that fails.
template <class S>
SDV_INLINE void adam_update(const AdamRates<S>& r, S gradient, S& parameter, S& square,
                            S* average) {
  const S g = gradient + r.decay * parameter;
  square = r.beta * square + (1 - r.beta) * g * g;
  parameter -= r.rate * g / (std::sqrt(square) * r.correction + r.epsilon);
  if (average) {
    const S move = r.ema_weight * (parameter - *average);
    *average += move * move < std::numeric_limits<S>::infinity() ? move : S(0);
  }
}

// A parameter and what belongs to it; `average` may be null.
template <class S, class G>
struct AdamTensor {
  int64_t size;
  const G* gradient;
  S *parameter, *square, *average;
};

// The rates that are numbers on the host.
struct AdamSettings {
  double beta, epsilon, decay;
};

// `now` holds the others: rate, correction, ema_weight.
template <class S>
SDV_INLINE AdamRates<S> adam_rates(const double* now, const AdamSettings& settings) {
  return {static_cast<S>(now[0]),           static_cast<S>(now[1]),
          static_cast<S>(now[2]),           static_cast<S>(settings.beta),
          static_cast<S>(settings.epsilon), static_cast<S>(settings.decay)};
}

inline void check_adam(const char* op, const std::vector<Tensor>& parameters,
                       const std::vector<Tensor>& gradients, const std::vector<Tensor>& squares,
                       const std::vector<Tensor>& averages, const Tensor& rates,
                       const AdamSettings& settings) {
  const std::vector<Tensor>* lists[] = {&gradients, &squares, &averages};
  const char* names[] = {"gradients", "squares", "averages"};
  for (int k = 0; k < 3; ++k) {
    const std::vector<Tensor>& list = *lists[k];
    SDV_CHECK((k == 2 && list.empty()) || list.size() == parameters.size(), op, ": ", names[k],
              " must be as many as the parameters, ", parameters.size(), ", got ", list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string own = std::string(names[k]) + "[" + std::to_string(i) + "]";
      const Tensor &tensor = list[i], &parameter = parameters[i];
      check_shape(op, own, tensor, sizes_of(parameter));
      if (k == 0) {
        check_operand(op, own.c_str(), tensor, "its parameter", parameter);
      } else {
        check_same(op, own, tensor, "its parameter", parameter);
      }
      SDV_CHECK(tensor.is_contiguous(), op, ": ", own, " must be contiguous");
    }
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const std::string own = "parameters[" + std::to_string(i) + "]";
    check_floating(op, own.c_str(), parameters[i]);
    SDV_CHECK(parameters[i].is_contiguous(), op, ": ", own, " must be contiguous");
    SDV_CHECK(rates.device() == parameters[i].device(), op, ": rates must be on the device of ",
              own);
  }
  check_shape(op, "rates", rates, {3});
  SDV_CHECK(rates.scalar_type() == ScalarType::Double, op, ": rates must be float64");
  SDV_CHECK(settings.beta >= 0 && settings.beta < 1, op, ": beta must lie in [0, 1), got ",
            settings.beta);
  SDV_CHECK(settings.epsilon > 0, op, ": epsilon must be positive, got ", settings.epsilon);
  SDV_CHECK(settings.decay >= 0, op, ": decay must not be negative, got ", settings.decay);
}

// A device updates the tensors of one pair of types at a time, and reads `now` where it is.
template <class Device>
void adam_step(std::vector<Tensor> parameters, std::vector<Tensor> gradients,
               std::vector<Tensor> squares, std::vector<Tensor> averages, Tensor rates,
               double beta, double epsilon, double decay) {
  const AdamSettings settings{.beta = beta, .epsilon = epsilon, .decay = decay};
  check_adam("adam_step", parameters, gradients, squares, averages, rates, settings);
  Device device(rates);
  const Tensor held = torch::stable::contiguous(rates);
  const double* now = held.const_data_ptr<double>();
  const auto update = [&](auto sum, auto operand) {
    using S = decltype(sum);
    using G = decltype(operand);
    std::vector<AdamTensor<S, G>> tensors;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].scalar_type() != TypeOf<S>::value ||
          gradients[i].scalar_type() != TypeOf<G>::value || parameters[i].numel() == 0)
        continue;
      tensors.push_back({
          .size = parameters[i].numel(),
          .gradient = static_cast<const G*>(gradients[i].const_data_ptr()),
          .parameter = parameters[i].mutable_data_ptr<S>(),
          .square = squares[i].mutable_data_ptr<S>(),
          .average = averages.empty() ? nullptr : averages[i].mutable_data_ptr<S>(),
      });
    }
    if (!tensors.empty()) device.update(tensors, now, settings);
  };
  update(float(), float());
  update(float(), bfloat16());
  update(double(), double());
}

}  // namespace sdv_wgangp
