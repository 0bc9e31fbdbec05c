// The dense channels of rows and the gradient back through them, on the CPU. Threads share rows.
#include <torch/csrc/stable/library.h>

#include <vector>

#include "../row_views.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

// white += score * row of the whitening matrix, for every score.
template <class S>
SDV_INLINE void whiten(const ViewTables<S>& t, const S* scores, S* __restrict white) {
  for (int64_t j = 0; j < t.scored_count; ++j) white[j] = 0;
  for (int64_t i = 0; i < t.scored_count; ++i) {
    const S* row = t.whitening + i * t.scored_count;
    for (int64_t j = 0; j < t.scored_count; ++j) white[j] += scores[i] * row[j];
  }
}

// Rows [begin, end). `scores` is scratch of `scored_count`.
template <class S>
SDV_INLINE void view_rows(const ViewTables<S>& t, const ViewedRows<S>& rows, int64_t begin,
                          int64_t end, S* scores, S* out) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t* levels = rows.level(row);
    const S* positions = rows.position(row);
    S* channels = out + row * t.channels();
    for (int64_t b = 0; b < t.binned_count; ++b) channels[b] = t.shown(levels, positions, b);
    S* ranks = channels + t.binned_count;
    for (int64_t o = 0; o < t.ordered_count; ++o) ranks[o] = t.rank(levels, positions, o);
    for (int64_t s = 0; s < t.scored_count; ++s) scores[s] = t.score(ranks[t.scored[s]]);
    S* white = ranks + t.ordered_count;
    whiten(t, scores, white);
    for (int64_t s = 0; s < t.scored_count; ++s) white[s] = t.clamped(white[s]);
  }
}

// Rows [begin, end). `scratch` has 3 * scored_count + ordered_count elements.
template <class S>
SDV_INLINE void view_rows_backward(const ViewTables<S>& t, const ViewedRows<S>& rows,
                                   const S* gradient, int64_t gradient_stride, int64_t begin,
                                   int64_t end, S* scratch, S* to_positions, S* slopes) {
  S *scores = scratch, *white = scores + t.scored_count, *at_score = white + t.scored_count,
    *at_rank = at_score + t.scored_count;
  const int64_t cells = rows.count * rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const int64_t* levels = rows.level(row);
    const S* positions = rows.position(row);
    const S* g = gradient + row * gradient_stride;
    const S* g_rank = g + t.binned_count;
    const S* g_white = g_rank + t.ordered_count;
    S* to = to_positions + row * rows.places;
    S* to_start = slopes + row * rows.columns;
    S* to_span = to_start + cells;
    for (int64_t i = 0; i < rows.places; ++i) to[i] = 0;
    for (int64_t c = 0; c < rows.columns; ++c) to_start[c] = to_span[c] = 0;
    for (int64_t o = 0; o < t.ordered_count; ++o) at_rank[o] = g_rank[o];
    if (t.scored_count > 0) {
      for (int64_t s = 0; s < t.scored_count; ++s)
        scores[s] = t.score(t.rank(levels, positions, t.scored[s]));
      whiten(t, scores, white);
      for (int64_t s = 0; s < t.scored_count; ++s) white[s] = t.inside(white[s]) ? g_white[s] : 0;
      for (int64_t s = 0; s < t.scored_count; ++s) {
        const S* across = t.whitening + s * t.scored_count;
        S sum = 0;
        for (int64_t j = 0; j < t.scored_count; ++j) sum += across[j] * white[j];
        at_score[s] = sum;
      }
      for (int64_t s = 0; s < t.scored_count; ++s) {
        const int64_t o = t.scored[s];
        at_rank[o] += at_score[s] * t.score_slope(t.rank(levels, positions, o), scores[s]);
      }
    }
    for (int64_t b = 0; b < t.binned_count; ++b)
      if (t.is_shown(levels, b)) to[t.binned[2 * b]] += g[b];
    for (int64_t o = 0; o < t.ordered_count; ++o) {
      const int64_t column = t.ordered[2 * o], place = t.ordered[2 * o + 1];
      to_start[column] += at_rank[o];
      if (place < 0) continue;
      to_span[column] += at_rank[o] * positions[place];
      to[place] += at_rank[o] * t.span(levels, o);
    }
  }
}

#define SDV_INSTANTIATE(S)                                                                        \
  SDV_CLONES void view_rows_##S(const ViewTables<S>& t, const ViewedRows<S>& rows, int64_t begin, \
                                int64_t end, S* scores, S* out) {                                 \
    view_rows<S>(t, rows, begin, end, scores, out);                                               \
  }                                                                                               \
  SDV_CLONES void view_rows_backward_##S(const ViewTables<S>& t, const ViewedRows<S>& rows,       \
                                         const S* gradient, int64_t gradient_stride,              \
                                         int64_t begin, int64_t end, S* scratch, S* to_positions, \
                                         S* slopes) {                                             \
    view_rows_backward<S>(t, rows, gradient, gradient_stride, begin, end, scratch, to_positions,  \
                          slopes);                                                                \
  }

SDV_INSTANTIATE(float)
SDV_INSTANTIATE(double)

template <class S>
constexpr auto forward_kernel = view_rows_float;
template <>
constexpr auto forward_kernel<double> = view_rows_double;
template <class S>
constexpr auto backward_kernel = view_rows_backward_float;
template <>
constexpr auto backward_kernel<double> = view_rows_backward_double;

void check_names(const char* op, const char* name, const int64_t* values, int64_t count,
                 int64_t begin, int64_t step, int64_t least, int64_t end) {
  for (int64_t i = begin; i < count; i += step)
    SDV_CHECK(least <= values[i] && values[i] < end, op, ": ", name, " names ", values[i],
              ", outside [", least, ", ", end, ")");
}

template <class S>
void check_values(const char* op, const ViewTables<S>& t, const ViewedRows<S>& rows) {
  check_names(op, "binned", t.binned, 2 * t.binned_count, 0, 2, 0, rows.places);
  check_names(op, "binned", t.binned, 2 * t.binned_count, 1, 2, 0, rows.columns);
  check_names(op, "ordered", t.ordered, 2 * t.ordered_count, 0, 2, 0, rows.columns);
  check_names(op, "ordered", t.ordered, 2 * t.ordered_count, 1, 2, -1, rows.places);
  check_names(op, "scored", t.scored, t.scored_count, 0, 1, 0, t.ordered_count);
  for (int64_t row = 0; row < rows.count; ++row) {
    const int64_t* level = rows.level(row);
    for (int64_t c = 0; c < rows.columns; ++c)
      SDV_CHECK(0 <= level[c] && level[c] < t.levels, op, ": levels must lie in [0, ", t.levels,
                "), got ", level[c], " in row ", row, ", column ", c);
  }
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  template <class S>
  void view(const char* op, const ViewTables<S>& t, const ViewedRows<S>& rows, S* out) {
    check_values(op, t, rows);
    torch::stable::parallel_for(0, rows.count, rows_per_thread(t.work()),
                                [&](int64_t begin, int64_t end) {
                                  std::vector<S> scores(static_cast<size_t>(t.scored_count));
                                  forward_kernel<S>(t, rows, begin, end, scores.data(), out);
                                });
  }

  template <class S>
  void view_backward(const char* op, const ViewTables<S>& t, const ViewedRows<S>& rows,
                     const S* gradient, int64_t gradient_stride, S* to_positions, S* slopes) {
    check_values(op, t, rows);
    torch::stable::parallel_for(
        0, rows.count, rows_per_thread(2 * t.work()), [&](int64_t begin, int64_t end) {
          std::vector<S> scratch(static_cast<size_t>(3 * t.scored_count + t.ordered_count));
          backward_kernel<S>(t, rows, gradient, gradient_stride, begin, end, scratch.data(),
                             to_positions, slopes);
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("row_views", TORCH_BOX(&sdv_wgangp::row_views<sdv_wgangp::Cpu>));
  m.impl("row_views_backward", TORCH_BOX(&sdv_wgangp::row_views_backward<sdv_wgangp::Cpu>));
}
