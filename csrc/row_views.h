// row_views and its backward over the device: arguments, results, types, the channels' formulas.
#pragma once

#include <tuple>

#include "checks.h"
#include "formulas.h"

namespace sdv_wgangp {

// What every row looks up; pointers into tensors that somebody else holds.
template <class S>
struct ViewTables {
  int64_t levels, binned_count, ordered_count, scored_count;
  const S* tables;  // [3, levels]: first rank, span of ranks, whether there is a position
  const int64_t *binned, *ordered, *scored;
  const S* whitening;
  S margin, clamp;

  SDV_INLINE int64_t channels() const { return binned_count + ordered_count + scored_count; }
  // Roughly the operations that a row costs.
  int64_t work() const { return 4 * channels() + scored_count * (scored_count + 32); }

  SDV_INLINE bool is_shown(const int64_t* level, int64_t b) const {
    return tables[2 * levels + level[binned[2 * b + 1]]] > 0;
  }
  SDV_INLINE S shown(const int64_t* level, const S* positions, int64_t b) const {
    return is_shown(level, b) ? positions[binned[2 * b]] : S(0.5);
  }
  SDV_INLINE S span(const int64_t* level, int64_t o) const {
    return tables[levels + level[ordered[2 * o]]];
  }
  SDV_INLINE S rank(const int64_t* level, const S* positions, int64_t o) const {
    const int64_t place = ordered[2 * o + 1];
    const S start = tables[level[ordered[2 * o]]];
    return place < 0 ? start : start + span(level, o) * positions[place];
  }
  SDV_INLINE S score(S rank) const {
    const S low = rank < margin ? margin : rank;
    return normal_quantile(low > 1 - margin ? 1 - margin : low);
  }
  // d score / d rank, at the score.
  SDV_INLINE S score_slope(S rank, S score) const {
    return rank > margin && rank < 1 - margin ? normal_quantile_slope(score) : S(0);
  }
  SDV_INLINE bool inside(S white) const { return white <= clamp && -white <= clamp; }
  SDV_INLINE S clamped(S white) const {
    const S low = white < -clamp ? -clamp : white;
    return low > clamp ? clamp : low;
  }
};

// The rows, contiguous.
template <class S>
struct ViewedRows {
  int64_t count, columns, places;
  const int64_t* levels;
  const S* positions;
  SDV_INLINE const int64_t* level(int64_t row) const { return levels + row * columns; }
  SDV_INLINE const S* position(int64_t row) const { return positions + row * places; }
};

// The checked arguments, contiguous and kept alive.
class HeldTables {
 public:
  HeldTables(const char* op, const Tensor& levels, const Tensor& positions, const Tensor& tables,
             const Tensor& binned, const Tensor& ordered, const Tensor& scored,
             const Tensor& whitening, double margin, double clamp)
      : margin_(margin), clamp_(clamp) {
    SDV_CHECK(tables.dim() == 2 && tables.size(0) == 3, op,
              ": tables must have shape [3, levels], got ", shape(tables));
    check_floating(op, "tables", tables);
    SDV_CHECK(levels.dim() == 2, op,
              ": levels must have two dimensions (rows, columns), got shape ", shape(levels));
    check_long(op, "levels", levels);
    SDV_CHECK(positions.dim() == 2 && positions.size(0) == levels.size(0), op,
              ": positions must have shape [", levels.size(0), ", positions], got ",
              shape(positions));
    check_pairs(op, "binned", binned);
    check_pairs(op, "ordered", ordered);
    SDV_CHECK(scored.dim() == 1, op, ": scored must have one dimension, got shape ",
              shape(scored));
    check_shape(op, "whitening", whitening, {scored.size(0), scored.size(0)});
    check_same(op, "positions", positions, "tables", tables);
    check_same(op, "whitening", whitening, "tables", tables);
    check_long(op, "binned", binned);
    check_long(op, "ordered", ordered);
    check_long(op, "scored", scored);
    check_device(op, "levels", levels, tables);
    check_device(op, "binned", binned, tables);
    check_device(op, "ordered", ordered, tables);
    check_device(op, "scored", scored, tables);
    SDV_CHECK(margin > 0 && margin < 0.5, op, ": margin must lie between 0 and 0.5, got ", margin);
    SDV_CHECK(clamp > 0, op, ": clamp must be positive, got ", clamp);
    levels_ = torch::stable::contiguous(levels);
    positions_ = torch::stable::contiguous(positions);
    tables_ = torch::stable::contiguous(tables);
    binned_ = torch::stable::contiguous(binned);
    ordered_ = torch::stable::contiguous(ordered);
    scored_ = torch::stable::contiguous(scored);
    whitening_ = torch::stable::contiguous(whitening);
  }

  int64_t channels() const { return binned_.size(0) + ordered_.size(0) + scored_.size(0); }

  void check_gradient(const char* op, const Tensor& gradient) const {
    check_shape(op, "gradient", gradient, {levels_.size(0), channels()});
    check_same(op, "gradient", gradient, "tables", tables_);
  }

  template <class S>
  ViewTables<S> view() const {
    return {
        .levels = tables_.size(1),
        .binned_count = binned_.size(0),
        .ordered_count = ordered_.size(0),
        .scored_count = scored_.size(0),
        .tables = tables_.const_data_ptr<S>(),
        .binned = binned_.const_data_ptr<int64_t>(),
        .ordered = ordered_.const_data_ptr<int64_t>(),
        .scored = scored_.const_data_ptr<int64_t>(),
        .whitening = whitening_.const_data_ptr<S>(),
        .margin = static_cast<S>(margin_),
        .clamp = static_cast<S>(clamp_),
    };
  }
  template <class S>
  ViewedRows<S> rows() const {
    return {
        .count = levels_.size(0),
        .columns = levels_.size(1),
        .places = positions_.size(1),
        .levels = levels_.const_data_ptr<int64_t>(),
        .positions = positions_.const_data_ptr<S>(),
    };
  }

 private:
  static void check_pairs(const char* op, const char* name, const Tensor& pairs) {
    SDV_CHECK(pairs.dim() == 2 && pairs.size(1) == 2, op, ": ", name,
              " must have two dimensions (", name, ", 2), got shape ", shape(pairs));
  }
  static void check_long(const char* op, const char* name, const Tensor& tensor) {
    SDV_CHECK(tensor.scalar_type() == ScalarType::Long, op, ": ", name, " must be int64");
  }
  static void check_device(const char* op, const char* name, const Tensor& tensor,
                           const Tensor& tables) {
    SDV_CHECK(tensor.device() == tables.device(), op, ": ", name,
              " must be on the device of tables");
  }

  Tensor levels_, positions_, tables_, binned_, ordered_, scored_, whitening_;
  double margin_, clamp_;
};

// A device checks what is named (levels, channels, positions) where the values are.
template <class Device>
Tensor row_views(Tensor levels, Tensor positions, Tensor tables, Tensor binned, Tensor ordered,
                 Tensor scored, Tensor whitening, double margin, double clamp) {
  const char* op = "row_views";
  const HeldTables held(op, levels, positions, tables, binned, ordered, scored, whitening, margin,
                        clamp);
  Device device(tables);
  Tensor out = torch::stable::new_empty(tables, {levels.size(0), held.channels()});
  with_type_of(tables, [&](auto type) {
    using S = decltype(type);
    device.view(op, held.view<S>(), held.rows<S>(), out.mutable_data_ptr<S>());
  });
  return out;
}

template <class Device>
std::tuple<Tensor, Tensor> row_views_backward(Tensor gradient, Tensor levels, Tensor positions,
                                              Tensor tables, Tensor binned, Tensor ordered,
                                              Tensor scored, Tensor whitening, double margin,
                                              double clamp) {
  const char* op = "row_views_backward";
  const HeldTables held(op, levels, positions, tables, binned, ordered, scored, whitening, margin,
                        clamp);
  held.check_gradient(op, gradient);
  Device device(tables);
  Tensor to_positions = torch::stable::new_empty(positions, sizes_of(positions));
  Tensor slopes = torch::stable::new_empty(gradient, {2, levels.size(0), levels.size(1)});
  with_type_of(tables, [&](auto type) {
    using S = decltype(type);
    const Rows<S> g(gradient);
    device.view_backward(op, held.view<S>(), held.rows<S>(), g.data, g.stride,
                         to_positions.mutable_data_ptr<S>(), slopes.mutable_data_ptr<S>());
  });
  return {to_positions, slopes};
}

}  // namespace sdv_wgangp
