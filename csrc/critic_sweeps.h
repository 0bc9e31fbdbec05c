// The critic step and the gradient at rows as a sequence of passes, the same for every device.
//
// Rows stand in the order real, fake, interpolates (RowPlan). For every hidden layer l two
// matrices [rows, width] are kept, of the type T in which products are done (float32, float64 or
// bfloat16); sums, norms, biases and losses are of the type S of the parameters:
//
//     h_l   what the layer gives; later, at penalised rows, what multiplies a_{l+1} in the
//           weights' gradient: e h_l + t_l with the tangent t_l
//     a_l   the reverse signal, d f / d z_l times the row's upstream factor
//
// A device does one pass at a time (cpu/critic.cpp, cuda/critic.cu): it has memory (`take`),
// products (`multiply`, of two T to T or to S, and `gram`), conversions, and one function for each
// of the structures below.
#pragma once

#include <algorithm>
#include <optional>
#include <tuple>

#include "critic.h"
#include "products.h"

namespace sdv_wgangp {

constexpr int64_t kDenseInLoop = 64;  // more dense channels are multiplied by torch

// Rows of dropout masks of one layer, or none.
template <class S>
struct Mask {
  const S* data = nullptr;
  int64_t stride = 0;
  SDV_INLINE const S* row(int64_t i) const { return data ? data + i * stride : nullptr; }
};

// Real and fake rows as they were given.
template <class S>
struct Inputs {
  int64_t rows, cells, dense, levels;  // `rows` real ones, as many fake ones
  const int64_t* level[2] = {};
  int64_t level_stride[2] = {};
  const S* channel[2] = {};
  int64_t channel_stride[2] = {};
};

// What every pass over rows knows about them. Group 0 is real, 1 fake, 2 between.
template <class S>
struct RowFactors {
  int64_t group;         // rows of a group
  const S* derivatives;  // the loss's at the scores of real and fake rows, or null: `by_group`
  S by_group[3];
  bool penalises[3];

  RowFactors(const RowPlan& plan, int64_t group, const S* derivatives)
      : group(group), derivatives(derivatives) {
    for (int g = 0; g < 3; ++g) {
      by_group[g] = static_cast<S>(plan.loss_factor[g]);
      penalises[g] = plan.penalises[g];
    }
  }

  // Compared, not divided: a division costs as much as a short row.
  SDV_INLINE int group_of(int64_t i) const { return (i >= group) + (i >= 2 * group); }
  // u, c and e with u e = c, see RowPlan.
  SDV_INLINE S loss_factor(int64_t i) const {
    const int g = group_of(i);
    return derivatives && g < 2 ? derivatives[i] : by_group[g];
  }
  SDV_INLINE S upstream(int64_t i) const { return penalises[group_of(i)] ? S(1) : loss_factor(i); }
  SDV_INLINE S signal_factor(int64_t i) const {
    return penalises[group_of(i)] ? loss_factor(i) : S(1);
  }
};

// First layer: for row i of each group z = bias + levels' weights + channels' product, and for
// the group between the point between the two z; h = mask * leaky(z).
template <class S, class T>
struct FirstLayer {
  Inputs<S> inputs;
  int64_t width, groups;
  const S *level_weight, *dense_weight, *bias;
  const S* multiplied = nullptr;  // [2 rows, width], the channels' product done by torch
  const S* epsilon;
  int64_t epsilon_stride;
  Mask<S> mask;
  S slope;
  T* h;
};

// A further layer, in place: h holds the product with the weight and becomes
// mask * leaky(h + bias). At the last one (head not null) also
//     scores = head h + head bias,
// and, where a is not null, a = upstream * head * slope * mask and the gradients of that layer's
// bias and of the head, sums over rows of e a and c h.
template <class S, class T>
struct ForwardLayer {
  RowFactors<S> factors;
  int64_t rows, width;
  const S* bias = nullptr;  // null: h is done already
  Mask<S> mask;
  S slope;
  T* h;
  T* a;  // or null
  // Last layer only, where they are wanted:
  const S *head = nullptr, *head_bias = nullptr;
  S* scores = nullptr;
  S *bias_gradient = nullptr, *head_gradient = nullptr;
};

// Back through one layer: a holds the product with the weight above and becomes
// a * slope * mask. Sums over rows of e a are the bias's gradient.
template <class S, class T>
struct ReverseLayer {
  RowFactors<S> factors;
  int64_t rows, width;
  Mask<S> mask;
  S slope;
  const T* h;
  T* a;
  S* bias_gradient;  // or null
};

// Tangents of the penalised rows through one layer. y holds the product below: d G at the first
// layer, where also the norms are taken, n^2 = d G d', and t_{l-1} W' above. In place
//     y = t = kappa * y * slope * mask,   h = e h + t.
// At the last layer (head_gradient not null) only the sum over rows of t is wanted, which is added
// to the head's gradient; y and h may stay as they are.
template <class S, class T>
struct TangentLayer {
  RowFactors<S> factors;
  int64_t rows, first, width;  // `rows` penalised ones from row `first` on
  Mask<S> mask;
  S slope;
  T *y, *h;
  Penalty kind;
  // First layer only:
  const T* d = nullptr;
  S scale = 0;          // weight / rows of a group
  T* pulled = nullptr;  // kappa d
  S* terms = nullptr;   // penalty_term of each row
  // Last layer only:
  S* head_gradient = nullptr;
};

// Gradients of the first layer's weights: with a penalty the weights times `outer`, and to each
// level's row the signals e a of the rows that hold it. What the channels give is added later;
// without a penalty nothing is written to the dense weight's gradient.
template <class S, class T>
struct FirstGradient {
  RowFactors<S> factors;
  Inputs<S> inputs;
  int64_t width;
  const T* a;
  const S *level_weight, *dense_weight;
  const T* outer;
  S *level_gradient, *dense_gradient;
};

template <class S, class T, class Device>
class Sweeps {
 public:
  Sweeps(Device& device, const Critic& critic, const std::vector<Tensor>& parameters, double slope)
      : device_(device), critic_(critic), masks_(critic.depth()), slope_(static_cast<S>(slope)) {
    for (const Tensor& parameter : parameters) {
      held_.push_back(torch::stable::contiguous(parameter));
      parameters_.push_back(held_.back().template const_data_ptr<S>());
    }
    for (size_t l = 1; l < critic.depth(); ++l)
      weights_.push_back(as_operand(parameters_[2 * l + 1], critic.width(l), critic.width(l - 1)));
  }

  // Loss and penalty into losses[2], the parameters' gradients into `gradient`. `derivatives` of
  // the loss at the scores [2, rows], or null.
  void step(const Inputs<S>& inputs, const S* epsilon, int64_t epsilon_stride,
            const std::vector<Mask<S>>& masks, Penalty kind, double weight,
            const std::vector<S*>& gradient, const S* derivatives, S* losses) {
    const RowPlan plan(kind, inputs.rows);
    const RowFactors<S> factors(plan, inputs.rows, derivatives);
    const int64_t m = inputs.rows, rows = plan.rows, width = critic_.width(0);
    const size_t depth = critic_.depth();
    for (size_t l = 0; l < masks.size(); ++l) masks_[l] = masks[l];
    allocate(rows, true);

    S* scores = device_.template take<S>(rows);
    S* head_gradient = gradient[2 * depth + 1];
    first(inputs, plan.groups, epsilon, epsilon_stride);
    forward(rows, factors, scores, gradient[2 * depth], head_gradient);
    S* head_bias_gradient = gradient[2 * depth + 2];
    if (derivatives)
      device_.total(derivatives, 2 * m, head_bias_gradient);
    else
      device_.zero(head_bias_gradient, 1);  // the loss is a difference of scores
    for (size_t l = depth - 1; l-- > 0;) reverse(l, rows, factors, gradient[2 * l + 2]);

    // The penalty. W is the first layer's weight, level and dense rows one below the other, and
    // G = W' W; the gradient at a row is W d.
    const int64_t penalised = plan.penalised(), begin = plan.penalised_begin;
    S* terms = nullptr;
    T* outer = nullptr;  // d' diag(kappa) d, so that the penalty's gradient is W times it
    if (penalised > 0) {
      const Matrix<const T> gram =
          device_.template gram<S, T>(matrix(parameters_[0], critic_.levels, width),
                                      matrix(parameters_[1], critic_.dense, width));
      const auto d = matrix<const T>(a_[0] + begin * width, penalised, width);
      T* y = device_.template take<T>(penalised * width);
      T* pulled = device_.template take<T>(penalised * width);
      terms = device_.template take<S>(penalised);
      device_.multiply(matrix(y, penalised, width), d, gram);
      for (size_t l = 0; l < depth; ++l) {
        const bool last = l + 1 == depth;
        TangentLayer<S, T> p{
            .factors = factors,
            .rows = penalised,
            .first = begin,
            .width = critic_.width(l),
            .mask = masks_[l],
            .slope = slope_,
            .y = y,
            .h = h_[l],
            .kind = kind,
            .head_gradient = last ? head_gradient : nullptr,
        };
        if (l == 0) {
          p.d = d.data;
          p.scale = static_cast<S>(weight / m);
          p.pulled = pulled, p.terms = terms;
        }
        device_.tangent(p);
        if (last) break;
        T* next = device_.template take<T>(penalised * critic_.width(l + 1));
        device_.multiply(matrix(next, penalised, critic_.width(l + 1)),
                         matrix<const T>(y, penalised, p.width), weights_[l].transposed());
        y = next;
      }
      outer = device_.template take<T>(width * width);
      device_.multiply(matrix(outer, width, width),
                       matrix<const T>(pulled, penalised, width).transposed(), d);
    }
    device_.losses(scores, m, terms, penalised, weight / m, losses);

    // Gradients of the weights. At penalised rows h now serves loss and penalty together.
    for (size_t l = 1; l < depth; ++l)
      device_.multiply(matrix(gradient[2 * l + 1], critic_.width(l), critic_.width(l - 1)),
                       matrix<const T>(a_[l], rows, critic_.width(l)).transposed(),
                       matrix<const T>(h_[l - 1], rows, critic_.width(l - 1)));
    device_.first_gradient(FirstGradient<S, T>{
        .factors = factors,
        .inputs = inputs,
        .width = width,
        .a = a_[0],
        .level_weight = parameters_[0],
        .dense_weight = parameters_[1],
        .outer = outer,
        .level_gradient = gradient[0],
        .dense_gradient = gradient[1],
    });
    if (critic_.dense > 0) {
      T* channels = device_.template take<T>(2 * m * critic_.dense);
      device_.scale_channels(inputs, factors, channels);
      device_.multiply(matrix(gradient[1], critic_.dense, width),
                       matrix<const T>(channels, 2 * m, critic_.dense).transposed(),
                       matrix<const T>(a_[0], 2 * m, width), outer != nullptr);
    }
  }

  // -mean f of the first group of inputs, and at one-hot levels [rows, levels] and dense channels
  // [rows, channels] its gradients, or those of the loss with these derivatives at the scores
  // [rows].
  void row_gradient(const Inputs<S>& inputs, const S* derivatives, S* loss, T* to_levels,
                    S* to_dense) {
    // Real rows have just this loss.
    const int64_t m = inputs.rows;
    const RowFactors<S> factors(RowPlan(Penalty::none, m), m, derivatives);
    allocate(m, true);
    S* scores = device_.template take<S>(m);
    first(inputs, 1);
    forward(m, factors, scores);
    for (size_t l = critic_.depth() - 1; l-- > 0;) reverse(l, m, factors);
    device_.minus_mean(scores, m, loss);
    device_.multiply(matrix(to_levels, m, critic_.levels),
                     matrix<const T>(a_[0], m, critic_.width(0)),
                     as_operand(parameters_[0], critic_.levels, critic_.width(0)).transposed());
    multiply_input(to_dense, m, critic_.dense, parameters_[1]);
  }

  // The scores of the first group of inputs.
  void scores(const Inputs<S>& inputs, const std::vector<Mask<S>>& masks, S* to) {
    const int64_t m = inputs.rows;
    const RowFactors<S> factors(RowPlan(Penalty::none, m), m, nullptr);
    for (size_t l = 0; l < masks.size(); ++l) masks_[l] = masks[l];
    allocate(m, false);
    first(inputs, 1);
    forward(m, factors, to);
  }

 private:
  // A matrix in the type of products: itself, or a copy.
  Matrix<const T> as_operand(const S* from, int64_t rows, int64_t columns) {
    if constexpr (std::is_same_v<S, T>) {
      return matrix(from, rows, columns);
    } else {
      T* to = device_.template take<T>(rows * columns);
      device_.convert(from, rows * columns, to);
      return matrix<const T>(to, rows, columns);
    }
  }

  // out = a_0 weight', wanted in S: done in S unless the device can widen products of T.
  void multiply_input(S* out, int64_t rows, int64_t inputs, const S* weight) {
    const int64_t width = critic_.width(0);
    const auto to = matrix(out, rows, inputs);
    if (std::is_same_v<S, T> || device_.widens_products()) {
      device_.multiply(to, matrix<const T>(a_[0], rows, width),
                       as_operand(weight, inputs, width).transposed());
    } else {
      S* signal = device_.template take<S>(rows * width);
      device_.widen(a_[0], rows * width, false, signal);
      device_.multiply(to, matrix<const S>(signal, rows, width),
                       matrix(weight, inputs, width).transposed());
    }
  }

  void allocate(int64_t rows, bool signals) {
    for (int64_t width : critic_.hidden) {
      h_.push_back(device_.template take<T>(rows * width));
      a_.push_back(signals ? device_.template take<T>(rows * width) : nullptr);
    }
  }

  void first(const Inputs<S>& inputs, int64_t groups, const S* epsilon = nullptr,
             int64_t epsilon_stride = 0) {
    const int64_t width = critic_.width(0);
    FirstLayer<S, T> p{
        .inputs = inputs,
        .width = width,
        .groups = groups,
        .level_weight = parameters_[0],
        .dense_weight = parameters_[1],
        .bias = parameters_[2],
        .epsilon = epsilon,
        .epsilon_stride = epsilon_stride,
        .mask = masks_[0],
        .slope = slope_,
        .h = h_[0],
    };
    if (inputs.dense > kDenseInLoop) {
      const int64_t given = std::min<int64_t>(groups, 2);
      S* product = device_.template take<S>(given * inputs.rows * width);
      for (int64_t g = 0; g < given; ++g)
        device_.multiply(matrix(product + g * inputs.rows * width, inputs.rows, width),
                         Matrix<const S>{inputs.channel[g], inputs.rows, inputs.dense,
                                         inputs.channel_stride[g], 1},
                         matrix(parameters_[1], inputs.dense, width));
      p.multiplied = product;
    }
    device_.first(p);
  }

  // Forward through the further layers, and the reverse signal at the last one if it is wanted.
  void forward(int64_t rows, const RowFactors<S>& factors, S* scores, S* bias_gradient = nullptr,
               S* head_gradient = nullptr) {
    const size_t last = critic_.depth() - 1;
    const size_t head = parameters_.size() - 2;
    for (size_t l = std::min<size_t>(1, last); l <= last; ++l) {
      ForwardLayer<S, T> p{
          .factors = factors,
          .rows = rows,
          .width = critic_.width(l),
          .mask = masks_[l],
          .slope = slope_,
          .h = h_[l],
          .a = a_[l],
      };
      if (l > 0) {
        device_.multiply(matrix(h_[l], rows, p.width),
                         matrix<const T>(h_[l - 1], rows, critic_.width(l - 1)),
                         weights_[l - 1].transposed());
        p.bias = parameters_[2 * l + 2];
      }
      if (l == last) {
        p.head = parameters_[head], p.head_bias = parameters_[head + 1];
        p.scores = scores;
        p.bias_gradient = bias_gradient, p.head_gradient = head_gradient;
      }
      device_.forward(p);
    }
  }

  // Reverse signal of layer l from that of the one above.
  void reverse(size_t l, int64_t rows, const RowFactors<S>& factors, S* bias_gradient = nullptr) {
    device_.multiply(matrix(a_[l], rows, critic_.width(l)),
                     matrix<const T>(a_[l + 1], rows, critic_.width(l + 1)), weights_[l]);
    device_.reverse(ReverseLayer<S, T>{
        .factors = factors,
        .rows = rows,
        .width = critic_.width(l),
        .mask = masks_[l],
        .slope = slope_,
        .h = h_[l],
        .a = a_[l],
        .bias_gradient = bias_gradient,
    });
  }

  Device& device_;
  const Critic& critic_;
  std::vector<Tensor> held_;  // the parameters, contiguous
  std::vector<const S*> parameters_;
  std::vector<Matrix<const T>> weights_;  // of the hidden layers after the first
  std::vector<Mask<S>> masks_;
  std::vector<T*> h_, a_;
  S slope_;
};

// --- the operators ------------------------------------------------------------------------------

// Runs `use` with the types of sums and of products.
template <class Use>
auto with_types(const Tensor& parameter, bool bfloat16, Use use) {
  if (parameter.scalar_type() == ScalarType::Double) return use(double(), double());
  if (bfloat16) return use(float(), sdv_wgangp::bfloat16());
  return use(float(), float());
}

// Masks of all layers, held while they are read.
template <class S>
struct Masks {
  explicit Masks(const std::vector<Tensor>& masks) {
    held.reserve(masks.size());
    for (const Tensor& mask : masks) {
      held.emplace_back(mask);
      rows.push_back({held.back().data, held.back().stride});
    }
  }
  std::vector<Rows<S>> held;
  std::vector<Mask<S>> rows;
};

// Derivatives one after the other, held while they are read; null where there are none.
template <class S>
struct Derivatives {
  explicit Derivatives(const std::optional<Tensor>& given) {
    if (!given) return;
    held = torch::stable::contiguous(*given);
    data = held->const_data_ptr<S>();
  }
  std::optional<Tensor> held;
  const S* data = nullptr;
};

// The rows of the groups that are there.
template <class S, size_t Groups>
Inputs<S> inputs_of(const Critic& critic, const Rows<int64_t> (&levels)[Groups],
                    const Rows<S> (&channels)[Groups]) {
  Inputs<S> inputs{
      .rows = critic.rows, .cells = critic.cells, .dense = critic.dense, .levels = critic.levels};
  for (size_t g = 0; g < Groups; ++g) {
    inputs.level[g] = levels[g].data, inputs.level_stride[g] = levels[g].stride;
    inputs.channel[g] = channels[g].data, inputs.channel_stride[g] = channels[g].stride;
  }
  return inputs;
}

template <class Device>
Tensor critic_step(Tensor real_levels, Tensor real_dense, Tensor fake_levels, Tensor fake_dense,
                   std::optional<Tensor> epsilon, std::vector<Tensor> parameters,
                   std::vector<Tensor> masks, double slope, std::string penalty, double weight,
                   bool bfloat16, std::vector<Tensor> gradients,
                   std::optional<Tensor> derivatives) {
  const char* op = "critic_step";
  Penalty kind;
  const Critic critic =
      check_step(real_levels, real_dense, fake_levels, fake_dense, epsilon, parameters, masks,
                 slope, penalty, weight, bfloat16, gradients, derivatives, kind);
  return with_types(parameters[0], bfloat16, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    Device device(parameters[0]);
    const Rows<int64_t> levels[2] = {Rows<int64_t>(real_levels), Rows<int64_t>(fake_levels)};
    const Rows<S> channels[2] = {Rows<S>(real_dense), Rows<S>(fake_dense)};
    const Inputs<S> inputs = inputs_of(critic, levels, channels);
    device.check_levels(op, "real_levels", inputs, 0);
    device.check_levels(op, "fake_levels", inputs, 1);
    const Masks<S> dropout(masks);
    const Derivatives<S> at_scores(derivatives);
    std::vector<S*> gradient;
    for (Tensor& tensor : gradients) gradient.push_back(tensor.mutable_data_ptr<S>());
    Tensor losses = torch::stable::new_empty(parameters[0], {2});
    const bool between = RowPlan(kind, critic.rows).groups == 3;
    Sweeps<S, T, Device>(device, critic, parameters, slope)
        .step(inputs, between ? epsilon->const_data_ptr<S>() : nullptr,
              between ? epsilon->stride(0) : 0, dropout.rows, kind, weight, gradient,
              at_scores.data, losses.mutable_data_ptr<S>());
    return losses;
  });
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor> critic_row_gradient(Tensor levels, Tensor dense,
                                                       std::vector<Tensor> parameters,
                                                       double slope, bool bfloat16,
                                                       std::optional<Tensor> derivatives) {
  const char* op = "critic_row_gradient";
  Critic critic = check_critic(op, parameters, slope, bfloat16);
  check_rows(op, critic, "levels", levels, "dense", dense, parameters[0]);
  check_derivatives(op, derivatives, {critic.rows}, parameters[0]);
  return with_types(parameters[0], bfloat16, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    Device device(parameters[0]);
    const Rows<int64_t> level[1] = {Rows<int64_t>(levels)};
    const Rows<S> channel[1] = {Rows<S>(dense)};
    const Inputs<S> inputs = inputs_of(critic, level, channel);
    device.check_levels(op, "levels", inputs, 0);
    const Derivatives<S> at_scores(derivatives);
    Tensor loss = torch::stable::new_empty(parameters[0], {});
    Tensor to_levels =
        torch::stable::new_empty(parameters[0], {critic.rows, critic.levels}, TypeOf<T>::value);
    Tensor to_dense = torch::stable::new_empty(parameters[0], {critic.rows, critic.dense});
    Sweeps<S, T, Device>(device, critic, parameters, slope)
        .row_gradient(inputs, at_scores.data, loss.mutable_data_ptr<S>(),
                      static_cast<T*>(to_levels.mutable_data_ptr()),
                      to_dense.mutable_data_ptr<S>());
    return std::tuple<Tensor, Tensor, Tensor>(loss, to_levels, to_dense);
  });
}

template <class Device>
Tensor critic_scores(Tensor levels, Tensor dense, std::vector<Tensor> parameters,
                     std::vector<Tensor> masks, double slope, bool bfloat16) {
  const char* op = "critic_scores";
  Critic critic = check_critic(op, parameters, slope, bfloat16);
  check_rows(op, critic, "levels", levels, "dense", dense, parameters[0]);
  check_masks(op, critic, masks, critic.rows, parameters[0]);
  return with_types(parameters[0], bfloat16, [&](auto sum, auto operand) {
    using S = decltype(sum);
    using T = decltype(operand);
    Device device(parameters[0]);
    const Rows<int64_t> level[1] = {Rows<int64_t>(levels)};
    const Rows<S> channel[1] = {Rows<S>(dense)};
    const Inputs<S> inputs = inputs_of(critic, level, channel);
    device.check_levels(op, "levels", inputs, 0);
    const Masks<S> dropout(masks);
    Tensor scores = torch::stable::new_empty(parameters[0], {critic.rows});
    Sweeps<S, T, Device>(device, critic, parameters, slope)
        .scores(inputs, dropout.rows, scores.mutable_data_ptr<S>());
    return scores;
  });
}

}  // namespace sdv_wgangp
