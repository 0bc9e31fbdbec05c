// Arguments of adam_step, and its formula, shared by both devices.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

template <class S>
struct AdamRates {
  S rate, correction, share, beta, epsilon, decay;
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
    const S move = r.share * (parameter - *average);
    *average += move * move < std::numeric_limits<S>::infinity() ? move : S(0);
  }
}

// Runs `use` with each pair of types of a parameter and its gradient.
template <class Use>
void for_types(Use use) {
  use(float(), float(), ScalarType::Float, ScalarType::Float);
  use(float(), bfloat16(), ScalarType::Float, ScalarType::BFloat16);
  use(double(), double(), ScalarType::Double, ScalarType::Double);
}

inline void check_adam(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
                       const std::vector<Tensor>& squares, const std::vector<Tensor>& averages,
                       const Tensor& rates, double beta, double epsilon, double decay) {
  const char* op = "adam_step";
  const std::vector<Tensor>* lists[] = {&gradients, &squares, &averages};
  const char* names[] = {"gradients", "squares", "averages"};
  for (int k = 0; k < 3; ++k) {
    const std::vector<Tensor>& list = *lists[k];
    SDV_CHECK((k == 2 && list.empty()) || list.size() == parameters.size(), op, ": ", names[k],
              " must be as many as the parameters, ", parameters.size(), ", got ", list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string own = std::string(names[k]) + "[" + std::to_string(i) + "]";
      const Tensor &tensor = list[i], &parameter = parameters[i];
      std::vector<int64_t> sizes;
      for (int64_t d = 0; d < parameter.dim(); ++d) sizes.push_back(parameter.size(d));
      check_shape(op, own, tensor, sizes);
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
  SDV_CHECK(beta >= 0 && beta < 1, op, ": beta must lie in [0, 1), got ", beta);
  SDV_CHECK(epsilon > 0, op, ": epsilon must be positive, got ", epsilon);
  SDV_CHECK(decay >= 0, op, ": decay must not be negative, got ", decay);
}

}  // namespace sdv_wgangp
