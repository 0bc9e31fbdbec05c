// Mean and covariance of batches of matrices, and their backward, on the CPU.
//
// Two passes: the means in double, then the product of the centred columns, of which only the
// tiles on and above the diagonal are computed. Rows are taken kDepth at a time, centred and packed
// into panels (product.h). Products of kRun rows have their sums in the argument's type, and those
// add up in double. The values depend neither on the number of threads nor on what else is in the
// batch.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include "../moments.h"
#include "product.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kDepth = 512;        // rows that are packed at a time
constexpr int64_t kRun = 128;          // rows of a product whose sums are of the argument's type
constexpr int64_t kRowsPerSum = 4096;  // rows that one thread adds up at a time
// Groups of rows that threads share, and doubles that their sums may take.
constexpr int64_t kGroups = 16, kGroupSums = 4 * 1024 * 1024;
constexpr int64_t kGradientRows = 64;  // rows of the gradient that are computed together

// sums[j] += x[row][j] - shift[j] over the rows.
template <class T>
SDV_INLINE void add_rows(const T* x, int64_t row_stride, int64_t rows, int64_t columns,
                         const double* shift, double* sums) {
  int64_t row = 0;
  if (!shift)  // Sums are loaded and stored once for four rows.
    for (; row + 4 <= rows; row += 4) {
      const T* a = x + row * row_stride;
      const T* b = a + row_stride;
      const T* c = b + row_stride;
      const T* d = c + row_stride;
      for (int64_t j = 0; j < columns; ++j)
        sums[j] += (static_cast<double>(a[j]) + static_cast<double>(b[j])) +
                   (static_cast<double>(c[j]) + static_cast<double>(d[j]));
    }
  for (; row < rows; ++row) {
    const T* values = x + row * row_stride;
    if (shift)
      for (int64_t j = 0; j < columns; ++j) sums[j] += static_cast<double>(values[j]) - shift[j];
    else
      for (int64_t j = 0; j < columns; ++j) sums[j] += static_cast<double>(values[j]);
  }
}

// out[row][j] = x[row][j] - mean[j] for j < columns, and 0 up to `width`, the row's length.
template <class T>
SDV_INLINE void centre_rows(const T* x, int64_t row_stride, int64_t rows, int64_t columns,
                            const T* high, const T* low, int64_t width, T* out) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* values = x + row * row_stride;
    T* deviations = out + row * width;
    for (int64_t j = 0; j < columns; ++j) deviations[j] = centred(values[j], high[j], low[j]);
    for (int64_t j = columns; j < width; ++j) deviations[j] = 0;
  }
}

template <class T>
SDV_INLINE void accumulate(const T* values, int64_t n, double* sums) {
  for (int64_t i = 0; i < n; ++i) sums[i] += static_cast<double>(values[i]);
}

#define SDV_INSTANTIATE(T, SUFFIX)                                                        \
  SDV_CLONES void accumulate_##SUFFIX(const T* values, int64_t n, double* sums) {         \
    accumulate<T>(values, n, sums);                                                       \
  }                                                                                       \
  SDV_CLONES void add_rows_##SUFFIX(const T* x, int64_t row_stride, int64_t rows,         \
                                    int64_t columns, const double* shift, double* sums) { \
    add_rows<T>(x, row_stride, rows, columns, shift, sums);                               \
  }                                                                                       \
  SDV_CLONES void centre_rows_##SUFFIX(const T* x, int64_t row_stride, int64_t rows,      \
                                       int64_t columns, const T* high, const T* low,      \
                                       int64_t width, T* out) {                           \
    centre_rows<T>(x, row_stride, rows, columns, high, low, width, out);                  \
  }

SDV_INSTANTIATE(float, float)
SDV_INSTANTIATE(double, double)

template <class T>
struct Kernels;
template <>
struct Kernels<float> {
  static constexpr auto accumulate = accumulate_float;
  static constexpr auto add = add_rows_float;
  static constexpr auto centre = centre_rows_float;
};
template <>
struct Kernels<double> {
  static constexpr auto accumulate = accumulate_double;
  static constexpr auto add = add_rows_double;
  static constexpr auto centre = centre_rows_double;
};

// Column sums in double, of runs of rows whose sums then add up in order.
template <class T>
std::vector<double> column_sums(const T* x, int64_t row_stride, int64_t rows, int64_t columns,
                                const double* shift) {
  // Narrow rows that follow each other are added up several at a time, as one long row.
  const int64_t joined = row_stride == columns && !shift
                             ? std::clamp<int64_t>(256 / std::max<int64_t>(1, columns), 1, rows)
                             : 1;
  const int64_t width = joined * columns;
  const int64_t runs = (rows + kRowsPerSum - 1) / kRowsPerSum;
  std::vector<double> partial(runs * width);
  torch::stable::parallel_for(0, runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run) {
      const T* from = x + run * kRowsPerSum * row_stride;
      const int64_t count = std::min(kRowsPerSum, rows - run * kRowsPerSum);
      const int64_t long_rows = count / joined;
      double* sums = partial.data() + run * width;
      Kernels<T>::add(from, joined * row_stride, long_rows, width, shift, sums);
      Kernels<T>::add(from + long_rows * joined * row_stride, row_stride,
                      count - long_rows * joined, columns, shift, sums);
    }
  });
  std::vector<double> total(columns);
  for (int64_t run = 0; run < runs; ++run)
    for (int64_t i = 0; i < joined; ++i)
      for (int64_t j = 0; j < columns; ++j) total[j] += partial[run * width + i * columns + j];
  return total;
}

template <class T>
struct Means {
  std::vector<T> high, low;
};

// Sums of float32 are exact to the last bits of a double. Sums of doubles are not, so the mean of
// what they leave is added. A constant column then has its value as mean.
template <class T>
Means<T> column_means(const T* x, int64_t row_stride, int64_t rows, int64_t columns) {
  std::vector<double> mean = column_sums(x, row_stride, rows, columns, nullptr);
  for (double& value : mean) value /= static_cast<double>(rows);
  std::vector<double> rest(columns);
  if (std::is_same_v<T, double>) rest = column_sums(x, row_stride, rows, columns, mean.data());
  Means<T> means = {std::vector<T>(columns), std::vector<T>(columns)};
  for (int64_t j = 0; j < columns; ++j) {
    const Mean<T> parts = split_mean(mean[j], rest[j] / static_cast<double>(rows), T());
    means.high[j] = parts.high;
    means.low[j] = parts.low;
  }
  return means;
}

// Scratch that is not cleared: clearing it would cost as much as filling it.
template <class T>
struct Scratch {
  explicit Scratch(int64_t size) : data(new T[size]) {}
  const std::unique_ptr<T[]> data;
};

// Calls visit(first row, first column) for the tiles on and above the diagonal, counted panel by
// panel, from the `begin`-th to before the `end`-th one.
template <class T, class Visit>
void visit_tiles(const Tile<T>& tile, int64_t columns, int64_t begin, int64_t end, Visit visit) {
  int64_t index = 0;
  for (int64_t j = 0; j < columns; j += tile.columns)
    for (int64_t i = 0; i < std::min(columns, j + tile.columns); i += tile.rows, ++index)
      if (begin <= index && index < end) visit(i, j);
}

// Copies what is above the diagonal below it, in blocks that stay in the cache.
template <class T>
void mirror(T* square, int64_t size) {
  constexpr int64_t block = 16;
  for (int64_t i = 0; i < size; i += block)
    for (int64_t j = 0; j <= i; j += block)
      for (int64_t r = i; r < std::min(size, i + block); ++r)
        for (int64_t c = j; c < std::min(r, j + block); ++c)
          square[r * size + c] = square[c * size + r];
}

// Products of the centred columns over rows [begin, end), added to total[columns, columns] on and
// above the diagonal; `out` instead, times `inverse`, where kDepth holds all the rows.
template <class T>
void add_products(const T* x, int64_t row_stride, int64_t begin, int64_t end, int64_t columns,
                  const Means<T>& mean, double inverse, double* total, T* out) {
  const Tile<T> tile = best_tile<T>();
  const int64_t panels = (columns + tile.columns - 1) / tile.columns;
  const int64_t panel_size = std::min(end - begin, kDepth) * tile.columns;
  const Scratch<T> packed(panels * panel_size);
  int64_t tiles = 0;
  visit_tiles(tile, columns, 0, std::numeric_limits<int64_t>::max(),
              [&](int64_t, int64_t) { ++tiles; });
  for (int64_t first = begin; first < end; first += kDepth) {
    const int64_t count = std::min(kDepth, end - first);
    const int64_t pack_grain = rows_per_thread(count * tile.columns);
    torch::stable::parallel_for(0, panels, pack_grain, [&](int64_t from, int64_t to) {
      for (int64_t panel = from; panel < to; ++panel) {
        const int64_t j = panel * tile.columns;
        Kernels<T>::centre(x + first * row_stride + j, row_stride, count,
                           std::min(tile.columns, columns - j), mean.high.data() + j,
                           mean.low.data() + j, tile.columns,
                           packed.data.get() + panel * panel_size);
      }
    });
    const int64_t grain = rows_per_thread(count * tile.rows);
    torch::stable::parallel_for(0, tiles, grain, [&](int64_t from, int64_t to) {
      visit_tiles(tile, columns, from, to, [&](int64_t i, int64_t j) {
        const T* left = packed.data.get() + i / tile.columns * panel_size + i % tile.columns;
        const T* right = packed.data.get() + j / tile.columns * panel_size;
        const int64_t width = std::min(tile.columns, columns - j);
        double sums[kMaxTile] = {};
        for (int64_t k = 0; k < count; k += kRun) {
          T products[kMaxTile];
          tile.product(std::min(kRun, count - k), left + k * tile.columns, 1, tile.columns,
                       right + k * tile.columns, products);
          Kernels<T>::accumulate(products, tile.rows * tile.columns, sums);
        }
        for (int64_t r = i; r < std::min(columns, i + tile.rows); ++r) {
          const double* row = sums + (r - i) * tile.columns;
          if (out) {
            T* line = out + r * columns + j;
            for (int64_t c = 0; c < width; ++c) line[c] = static_cast<T>(row[c] * inverse);
          } else {
            double* line = total + r * columns + j;
            for (int64_t c = 0; c < width; ++c) line[c] += row[c];
          }
        }
      });
    });
  }
}

template <class T>
void covariance(const T* x, int64_t row_stride, int64_t rows, int64_t columns, double divisor,
                T* mean_out, T* out) {
  const Means<T> mean = column_means(x, row_stride, rows, columns);
  std::copy(mean.high.begin(), mean.high.end(), mean_out);
  const double inverse = 1 / divisor;
  const int64_t size = columns * columns;
  if (rows <= kDepth) {
    add_products<T>(x, row_stride, 0, rows, columns, mean, inverse, nullptr, out);
  } else {
    // Threads share groups of rows, as many as their sums' memory allows; these add up in order.
    const int64_t most = std::clamp<int64_t>(kGroupSums / std::max<int64_t>(1, size), 1, kGroups);
    const int64_t depths = (rows + kDepth - 1) / kDepth;
    const int64_t step = (depths + most - 1) / most * kDepth;
    const int64_t groups = (rows + step - 1) / step;
    std::vector<double> total(groups * size);
    torch::stable::parallel_for(0, groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; ++g)
        add_products<T>(x, row_stride, g * step, std::min(rows, (g + 1) * step), columns, mean,
                        inverse, total.data() + g * size, nullptr);
    });
    for (int64_t g = 1; g < groups; ++g)
      for (int64_t i = 0; i < size; ++i) total[i] += total[g * size + i];
    for (int64_t i = 0; i < size; ++i) out[i] = static_cast<T>(total[i] * inverse);
  }
  mirror(out, columns);
}

// out = Xc S + 1 grad_mean / n with S = (grad_covariance + its transpose) / (n - correction).
template <class T>
void moments_gradient(const T* x, int64_t row_stride, int64_t rows, int64_t columns,
                      const T* grad_mean, const T* grad_cov, double divisor, T* out) {
  const Tile<T> tile = best_tile<T>();
  const Means<T> mean = column_means(x, row_stride, rows, columns);
  const int64_t panels = (columns + tile.columns - 1) / tile.columns;
  const int64_t panel_size = columns * tile.columns;
  const Scratch<T> packed(panels * panel_size);
  std::vector<T> constant(columns);
  for (int64_t j = 0; j < columns; ++j) constant[j] = grad_mean[j] / static_cast<T>(rows);
  const double inverse = 1 / divisor;
  const int64_t pack_grain = rows_per_thread(panel_size);
  torch::stable::parallel_for(0, panels, pack_grain, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t first = panel * tile.columns;
      const int64_t count = std::min(tile.columns, columns - first);
      T* s = packed.data.get() + panel * panel_size;
      for (int64_t k = 0; k < columns; ++k) {
        for (int64_t j = 0; j < count; ++j)
          s[k * tile.columns + j] = covariance_gradient(
              grad_cov[k * columns + first + j], grad_cov[(first + j) * columns + k], inverse);
        std::fill(s + k * tile.columns + count, s + (k + 1) * tile.columns, T(0));
      }
    }
  });
  const int64_t blocks = (rows + kGradientRows - 1) / kGradientRows;
  const int64_t grain = rows_per_thread(kGradientRows * columns);
  torch::stable::parallel_for(0, blocks, grain, [&](int64_t begin, int64_t end) {
    std::vector<T> deviations(kGradientRows * columns);
    T products[kMaxTile];
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kGradientRows;
      const int64_t count = std::min(kGradientRows, rows - first);
      Kernels<T>::centre(x + first * row_stride, row_stride, count, columns, mean.high.data(),
                         mean.low.data(), columns, deviations.data());
      for (int64_t j = 0; j < columns; j += tile.columns) {
        const int64_t width = std::min(tile.columns, columns - j);
        const T* right = packed.data.get() + j / tile.columns * panel_size;
        for (int64_t i = 0; i < count; i += tile.rows) {
          // Rows beyond the last one hold what was there before, and are not stored.
          tile.product(columns, deviations.data() + i * columns, columns, 1, right, products);
          for (int64_t r = i; r < std::min(count, i + tile.rows); ++r) {
            const T* sums = products + (r - i) * tile.columns;
            T* to = out + (first + r) * columns + j;
            for (int64_t c = 0; c < width; ++c) to[c] = sums[c] + constant[j + c];
          }
        }
      }
    }
  });
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  // Threads share the matrices; the rows and tiles of a single one otherwise.
  template <class T>
  void moments(const Tensor& x, double divisor, T* mean, T* result) {
    const Tensor held = with_adjacent_columns(x);
    const Sizes sizes(x);
    const int64_t rows = sizes.rows, columns = sizes.columns;
    const Matrices<T> at(held);
    const int64_t grain = rows_per_thread(rows * columns);
    torch::stable::parallel_for(0, sizes.batch, grain, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        covariance<T>(at.data + b * at.batch_stride, at.row_stride, rows, columns, divisor,
                      mean + b * columns, result + b * columns * columns);
    });
  }

  template <class T>
  void moments_backward(const T* grad_mean, const T* grad_covariance, const Tensor& x,
                        double divisor, T* out) {
    const Tensor held = with_adjacent_columns(x);
    const Sizes sizes(x);
    const int64_t rows = sizes.rows, columns = sizes.columns;
    const Matrices<T> at(held);
    const int64_t grain = rows_per_thread(rows * columns);
    torch::stable::parallel_for(0, sizes.batch, grain, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b)
        moments_gradient<T>(at.data + b * at.batch_stride, at.row_stride, rows, columns,
                            grad_mean + b * columns, grad_covariance + b * columns * columns,
                            divisor, out + b * rows * columns);
    });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("moments", TORCH_BOX(&sdv_wgangp::moments<sdv_wgangp::Cpu>));
  m.impl("moments_backward", TORCH_BOX(&sdv_wgangp::moments_backward<sdv_wgangp::Cpu>));
}
