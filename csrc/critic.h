// Arguments of the critic's operators: what both devices check, and what they know after it.
//
// A packed row has `cells` levels and `dense` channels. The parameters come as one list:
//
//     level weight [levels, hidden 1], dense weight [dense, hidden 1], bias [hidden 1],
//     then for every further layer, the last of which has one output: weight [out, in], bias [out]
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

struct Critic {
  int64_t rows = 0, cells = 0, levels = 0, dense = 0;
  std::vector<int64_t> hidden;  // widths of the hidden layers

  int64_t width(size_t layer) const { return hidden[layer]; }
  size_t depth() const { return hidden.size(); }
  int64_t widest() const {
    int64_t most = 0;
    for (int64_t width : hidden) most = width > most ? width : most;
    return most;
  }
};

inline std::string parameter_name(size_t index) {
  if (index == 0) return "level weight (parameters[0])";
  if (index == 1) return "dense weight (parameters[1])";
  if (index == 2) return "first bias (parameters[2])";
  std::ostringstream text;
  text << (index % 2 ? "weight" : "bias") << " of layer " << (index - 1) / 2 << " (parameters["
       << index << "])";
  return text.str();
}

inline Critic check_critic(const char* op, const std::vector<Tensor>& parameters, double slope,
                           bool bfloat16) {
  const size_t count = parameters.size();
  SDV_CHECK(count >= 5 && count % 2 == 1, op,
            ": parameters must be the level weight, the dense weight, the bias, then a weight and "
            "a bias for every further layer, got ",
            count, " tensors");
  SDV_CHECK(slope >= 0 && slope <= 1, op, ": slope must lie in [0, 1], got ", slope);
  const Tensor& first = parameters[0];
  SDV_CHECK(first.dim() == 2, op, ": ", parameter_name(0),
            " must have two dimensions (levels, hidden), got shape ", shape(first));
  check_floating(op, parameter_name(0).c_str(), first);
  SDV_CHECK(!bfloat16 || first.scalar_type() == ScalarType::Float, op,
            ": products in bfloat16 need float32 parameters");
  Critic critic;
  critic.levels = first.size(0);
  SDV_CHECK(first.size(1) > 0, op, ": ", parameter_name(0), " has no columns, got shape ",
            shape(first));
  // Levels and the places of cells are kept in 32 bits.
  SDV_CHECK(critic.levels < std::numeric_limits<int32_t>::max(), op, ": ", parameter_name(0),
            " has too many rows, got shape ", shape(first));
  SDV_CHECK(parameters[1].dim() == 2, op, ": ", parameter_name(1),
            " must have two dimensions (channels, hidden), got shape ", shape(parameters[1]));
  critic.dense = parameters[1].size(0);
  critic.hidden.push_back(first.size(1));
  check_shape(op, parameter_name(1), parameters[1], {critic.dense, first.size(1)});
  check_shape(op, parameter_name(2), parameters[2], {first.size(1)});
  for (size_t i = 3; i < count; i += 2) {
    const Tensor& weight = parameters[i];
    const bool last = i + 2 == count;
    SDV_CHECK(weight.dim() == 2, op, ": ", parameter_name(i),
              " must have two dimensions (out, in), got shape ", shape(weight));
    const int64_t out = last ? 1 : weight.size(0);
    SDV_CHECK(out > 0, op, ": ", parameter_name(i), " has no rows, got shape ", shape(weight));
    check_shape(op, parameter_name(i), weight, {out, critic.hidden.back()});
    check_shape(op, parameter_name(i + 1), parameters[i + 1], {out});
    if (!last) critic.hidden.push_back(out);
  }
  for (size_t i = 0; i < count; ++i)
    check_same(op, parameter_name(i), parameters[i], "the parameters", first);
  return critic;
}

inline void check_rows(const char* op, Critic& critic, const char* levels_name,
                       const Tensor& levels, const char* dense_name, const Tensor& dense,
                       const Tensor& like) {
  SDV_CHECK(levels.dim() == 2, op, ": ", levels_name,
            " must have two dimensions (rows, cells), got shape ", shape(levels));
  SDV_CHECK(levels.scalar_type() == ScalarType::Long, op, ": ", levels_name, " must be int64");
  SDV_CHECK(levels.device() == like.device(), op, ": ", levels_name,
            " must be on the device of the parameters");
  SDV_CHECK(levels.size(0) > 0, op, ": ", levels_name, " has no rows, got shape ", shape(levels));
  critic.rows = levels.size(0);
  critic.cells = levels.size(1);
  const int64_t cells = critic.rows * (critic.cells > 1 ? critic.cells : 1);
  SDV_CHECK(cells < std::numeric_limits<int32_t>::max() / 4, op, ": ", levels_name,
            " has too many rows, got shape ", shape(levels));
  check_shape(op, dense_name, dense, {critic.rows, critic.dense});
  check_same(op, dense_name, dense, "the parameters", like);
}

inline Penalty check_penalty(const char* op, const std::string& name, double weight) {
  SDV_CHECK(weight >= 0 && std::isfinite(weight), op,
            ": weight must be finite and not negative, got ", weight);
  constexpr std::pair<const char*, Penalty> kinds[] = {
      {"none", Penalty::none}, {"wgan-gp", Penalty::wgan_gp}, {"wgan-lp", Penalty::wgan_lp},
      {"r1", Penalty::r1},     {"r2", Penalty::r2},           {"r1+r2", Penalty::r1_r2}};
  for (const auto& [known, kind] : kinds)
    if (name == known) return kind;
  fail(op, ": penalty must be none, wgan-gp, wgan-lp, r1, r2 or r1+r2, got ", name);
}

// Which rows the step works on, in this order: real, fake, interpolates; and what they are worth.
//
// A row has the loss's derivative c at its score: -1/rows, 1/rows, 0 by its group, unless the
// caller gives those of real and fake rows one by one (RowFactors). At penalised rows the reverse
// sweep starts from 1, as the penalty needs the bare gradient; the loss's own part then
// comes in with the factor e, elsewhere the sweep starts from c and e is 1.
struct RowPlan {
  int64_t groups, rows, penalised_begin, penalised_end;
  bool penalises[3];
  double loss_factor[3];  // c

  RowPlan(Penalty kind, int64_t m) {
    const bool between = kind == Penalty::wgan_gp || kind == Penalty::wgan_lp;
    groups = between ? 3 : 2;
    rows = groups * m;
    const bool real = kind == Penalty::r1 || kind == Penalty::r1_r2;
    const bool fake = kind == Penalty::r2 || kind == Penalty::r1_r2;
    const bool penalised[3] = {real, fake, between};
    const double c[3] = {-1.0 / m, 1.0 / m, 0.0};
    penalised_begin = penalised_end = 0;
    for (int g = 0; g < 3; ++g) {
      loss_factor[g] = c[g];
      penalises[g] = penalised[g];
      if (!penalised[g]) continue;
      if (penalised_end == 0) penalised_begin = g * m;
      penalised_end = (g + 1) * m;
    }
  }
  int64_t penalised() const { return penalised_end - penalised_begin; }
};

inline void check_masks(const char* op, const Critic& critic, const std::vector<Tensor>& masks,
                        int64_t rows, const Tensor& like) {
  SDV_CHECK(masks.empty() || masks.size() == critic.depth(), op, ": masks must be none or ",
            critic.depth(), ", one for each hidden layer, got ", masks.size());
  for (size_t l = 0; l < masks.size(); ++l) {
    const std::string name = "masks[" + std::to_string(l) + "]";
    check_shape(op, name, masks[l], {rows, critic.width(l)});
    check_same(op, name, masks[l], "the parameters", like);
  }
}

inline void check_derivatives(const char* op, const std::optional<Tensor>& derivatives,
                              const std::vector<int64_t>& sizes, const Tensor& like) {
  if (!derivatives) return;
  check_shape(op, "derivatives", *derivatives, sizes);
  check_same(op, "derivatives", *derivatives, "the parameters", like);
}

// Checks everything that critic_step is given.
inline Critic check_step(const Tensor& real_levels, const Tensor& real_dense,
                         const Tensor& fake_levels, const Tensor& fake_dense,
                         const std::optional<Tensor>& epsilon,
                         const std::vector<Tensor>& parameters, const std::vector<Tensor>& masks,
                         double slope, const std::string& penalty, double weight, bool bfloat16,
                         const std::vector<Tensor>& gradients,
                         const std::optional<Tensor>& derivatives, Penalty& kind) {
  const char* op = "critic_step";
  Critic critic = check_critic(op, parameters, slope, bfloat16);
  const Tensor& like = parameters[0];
  kind = check_penalty(op, penalty, weight);
  check_rows(op, critic, "real_levels", real_levels, "real_dense", real_dense, like);
  check_shape(op, "fake_levels", fake_levels, {critic.rows, critic.cells});
  check_rows(op, critic, "fake_levels", fake_levels, "fake_dense", fake_dense, like);
  const RowPlan plan(kind, critic.rows);
  if (plan.groups == 3) {
    SDV_CHECK(epsilon.has_value(), op, ": epsilon must be given for penalty ", penalty);
    check_shape(op, "epsilon", *epsilon, {critic.rows, 1});
    check_same(op, "epsilon", *epsilon, "the parameters", like);
  }
  check_masks(op, critic, masks, plan.rows, like);
  check_derivatives(op, derivatives, {2, critic.rows}, like);
  SDV_CHECK(gradients.size() == parameters.size(), op,
            ": gradients must be as many as parameters, ", parameters.size(), ", got ",
            gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i) {
    const std::string name = "gradients[" + std::to_string(i) + "]";
    std::vector<int64_t> sizes;
    for (int64_t axis = 0; axis < parameters[i].dim(); ++axis)
      sizes.push_back(parameters[i].size(axis));
    check_shape(op, name, gradients[i], sizes);
    check_same(op, name, gradients[i], "the parameters", like);
    SDV_CHECK(gradients[i].is_contiguous(), op, ": ", name, " must be contiguous");
  }
  return critic;
}

}  // namespace sdv_wgangp
