// Sorting of the columns of matrices, and its backward, on the CPU.
//
// Columns are copied kGroup at a time into scratch (a cache line of a row holds so many), sorted
// one by one there, and written out column by column: values and index are stored transposed.
//
// Columns are sorted by *cells*: the range from the smallest to the largest value is cut into 2^16
// (long columns: 2^22) cells of equal width, (cell, row) is packed into one integer and sorted by
// two digits of the cell, without a branch; what is left are the few values that share a cell, and
// insertion puts those in order. Where most values crowd together (heavy tails, infinities) the
// range of sortable_key is cut instead, of which the width is relative. Where that does not
// separate them either, a radix sort over all the digits of the key follows: no column costs more
// than all three together.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <limits>
#include <vector>

#include "../sorted_columns.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kGroup = 16;
constexpr int64_t kShort = 2048;         // up to here digits are of 8 bits, beyond of 11
constexpr int64_t kMovesPerElement = 4;  // what insertion may take before it gives up

struct ShortCells {
  using Entry = uint32_t;  // cell in the upper half, row in the lower one
  static constexpr int digit_bits = 8, row_bits = 16;
};
struct LongCells {
  using Entry = uint64_t;
  static constexpr int digit_bits = 11, row_bits = 32;
};

template <class T>
struct Limits;
template <>
struct Limits<float> {
  // Below it, the inverse of a cell's width would overflow.
  static constexpr float smallest_range = FLT_MIN * (1 << 24), largest = FLT_MAX;
};
template <>
struct Limits<double> {
  static constexpr double smallest_range = DBL_MIN * (1 << 24), largest = DBL_MAX;
};

// Packs (cell, row) for every value, cells of equal width in the values. Returns false where there
// are none: an infinity or NaN among the values, or a range that is zero, subnormal or beyond the
// largest number.
template <class T, class Cells>
SDV_INLINE bool pack_values(const T* values, int64_t n, typename Cells::Entry* entries) {
  T low[kLanes], high[kLanes], odd[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    low[k] = high[k] = values[0];
    odd[k] = 0;
  }
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) {
      const T value = values[i + k];
      low[k] = value < low[k] ? value : low[k];
      high[k] = value > high[k] ? value : high[k];
      odd[k] += value * 0;  // NaN for an infinity and for NaN, else zero
    }
  for (; i < n; ++i) {
    low[0] = values[i] < low[0] ? values[i] : low[0];
    high[0] = values[i] > high[0] ? values[i] : high[0];
    odd[0] += values[i] * 0;
  }
  for (int k = 1; k < kLanes; ++k) {
    low[0] = low[k] < low[0] ? low[k] : low[0];
    high[0] = high[k] > high[0] ? high[k] : high[0];
    odd[0] += odd[k];
  }
  const T least = low[0], range = high[0] - low[0];
  if (!(odd[0] == 0 && range >= Limits<T>::smallest_range && range <= Limits<T>::largest))
    return false;
  // Rounding keeps the order: subtraction, multiplication and truncation never decrease. The last
  // cell stays empty, so that no rounding reaches beyond it (2^22 cells are a quarter of the
  // numbers that float32 has there).
  const T scale = static_cast<T>((int64_t(1) << 2 * Cells::digit_bits) - 2) / range;
  for (int64_t j = 0; j < n; ++j) {
    const auto cell =
        static_cast<typename Cells::Entry>(static_cast<int32_t>((values[j] - least) * scale));
    entries[j] = cell << Cells::row_bits | static_cast<typename Cells::Entry>(j);
  }
  return true;
}

// The same with cells of equal width in the sortable key, hence, far from zero, in the logarithm.
// There are always cells.
template <class T, class Cells>
SDV_INLINE void pack_keys(const T* values, int64_t n, typename Cells::Entry* entries) {
  using Key = typename SortableKey<T>::type;
  Key low = ~Key(0), high = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Key key = sortable_key(values[i]);
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  int shift = 0;
  while ((high - low) >> shift >> 2 * Cells::digit_bits) ++shift;
  for (int64_t i = 0; i < n; ++i) {
    const Key cell = (sortable_key(values[i]) - low) >> shift;
    entries[i] = static_cast<typename Cells::Entry>(cell) << Cells::row_bits |
                 static_cast<typename Cells::Entry>(i);
  }
}

#define SDV_INSTANTIATE(T, CELLS, SUFFIX)                                \
  SDV_CLONES bool pack_values_##SUFFIX(const T* values, int64_t n,       \
                                       typename CELLS::Entry* entries) { \
    return pack_values<T, CELLS>(values, n, entries);                    \
  }                                                                      \
  SDV_CLONES void pack_keys_##SUFFIX(const T* values, int64_t n,         \
                                     typename CELLS::Entry* entries) {   \
    pack_keys<T, CELLS>(values, n, entries);                             \
  }                                                                      \
  template <>                                                            \
  struct Pack<T, CELLS> {                                                \
    static constexpr auto values = pack_values_##SUFFIX;                 \
    static constexpr auto keys = pack_keys_##SUFFIX;                     \
  };

template <class T, class Cells>
struct Pack;
SDV_INSTANTIATE(float, ShortCells, short_float)
SDV_INSTANTIATE(double, ShortCells, short_double)
SDV_INSTANTIATE(float, LongCells, long_float)
SDV_INSTANTIATE(double, LongCells, long_double)

// Turns two tables of counts into the places where each digit's entries begin.
template <int Digits>
void starts(uint32_t* low, uint32_t* high) {
  uint32_t low_sum = 0, high_sum = 0;
  for (int d = 0; d < Digits; ++d) {
    const uint32_t low_count = low[d], high_count = high[d];
    low[d] = low_sum;
    high[d] = high_sum;
    low_sum += low_count;
    high_sum += high_count;
  }
}

// What one thread needs for columns of length n.
template <class T>
struct Scratch {
  using Key = typename SortableKey<T>::type;
  struct Entry {
    Key key;
    uint32_t row;
  };

  explicit Scratch(int64_t n) : group(kGroup * n), entries(2 * n) {}

  std::vector<T> group;           // kGroup columns, one after the other
  std::vector<uint64_t> entries;  // two arrays of cells
  std::vector<Entry> radix;       // two arrays of keys, once needed
  uint32_t counts[2 << LongCells::digit_bits];
};

template <class Entry, int Shift, int Digits>
void scatter(const Entry* from, int64_t n, uint32_t* place, Entry* to) {
  for (int64_t i = 0; i < n; ++i) to[place[from[i] >> Shift & (Digits - 1)]++] = from[i];
}

// Returns false where the cells do not separate the values.
template <class T, class Cells>
bool sort_by_cells(const T* column, int64_t n, Scratch<T>& scratch, T* values, int64_t* index) {
  using Entry = typename Cells::Entry;
  constexpr int digits = 1 << Cells::digit_bits;
  constexpr int low_shift = Cells::row_bits, high_shift = low_shift + Cells::digit_bits;
  constexpr Entry row_mask = static_cast<Entry>((uint64_t(1) << Cells::row_bits) - 1);
  Entry* from = reinterpret_cast<Entry*>(scratch.entries.data());
  Entry* to = from + n;
  uint32_t* low = scratch.counts;
  uint32_t* high = low + digits;
  const auto count = [&] {
    std::fill_n(low, 2 * digits, 0u);
    for (int64_t i = 0; i < n; ++i) {
      ++low[from[i] >> low_shift & (digits - 1)];
      ++high[from[i] >> high_shift & (digits - 1)];
    }
  };
  const bool spread = Pack<T, Cells>::values(column, n, from);
  if (spread) count();
  // Where a 256th (2048th) of the range holds a quarter of the values the logarithm does better.
  if (!spread || *std::max_element(high, high + digits) > n / 4 + 8) {
    Pack<T, Cells>::keys(column, n, from);
    count();
  }
  starts<digits>(low, high);
  scatter<Entry, low_shift, digits>(from, n, low, to);
  scatter<Entry, high_shift, digits>(to, n, high, from);
  int64_t moves = 0;
  const int64_t most = kMovesPerElement * n;
  T largest = column[from[0] & row_mask];
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = static_cast<int64_t>(from[i] & row_mask);
    const T value = column[row];
    int64_t place = i;
    // Never so for NaN, which have the last cell to themselves.
    if (__builtin_expect(value < largest, 0)) {
      for (; place > 0 && values[place - 1] > value; --place) {
        values[place] = values[place - 1];
        index[place] = index[place - 1];
      }
      moves += i - place;
      if (moves > most) return false;
    } else {
      largest = value;
    }
    values[place] = value;
    index[place] = row;
  }
  return true;
}

// Every digit of the key, the least significant one first; digits that are all the same are
// passed over.
template <class T, int DigitBits>
void sort_by_radix(const T* column, int64_t n, Scratch<T>& scratch, T* values, int64_t* index) {
  using Key = typename Scratch<T>::Key;
  using Entry = typename Scratch<T>::Entry;
  constexpr int digits = 1 << DigitBits;
  scratch.radix.resize(2 * n);
  Entry* from = scratch.radix.data();
  Entry* to = from + n;
  Key all_ones = ~Key(0), any_ones = 0;
  for (int64_t i = 0; i < n; ++i) {
    const Key key = sortable_key(column[i]);
    from[i] = {key, static_cast<uint32_t>(i)};
    all_ones &= key;
    any_ones |= key;
  }
  const Key varying = all_ones ^ any_ones;
  uint32_t* counts = scratch.counts;
  for (int shift = 0; shift < static_cast<int>(8 * sizeof(Key)); shift += DigitBits) {
    if ((varying >> shift & (digits - 1)) == 0) continue;
    std::fill_n(counts, digits, 0u);
    for (int64_t i = 0; i < n; ++i) ++counts[from[i].key >> shift & (digits - 1)];
    uint32_t sum = 0;
    for (int d = 0; d < digits; ++d) {
      const uint32_t count = counts[d];
      counts[d] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; ++i) to[counts[from[i].key >> shift & (digits - 1)]++] = from[i];
    std::swap(from, to);
  }
  for (int64_t i = 0; i < n; ++i) {
    values[i] = column[from[i].row];
    index[i] = from[i].row;
  }
}

template <class T>
void sort_column(const T* column, int64_t n, Scratch<T>& scratch, T* values, int64_t* index) {
  if (n <= kShort) {
    if (!sort_by_cells<T, ShortCells>(column, n, scratch, values, index))
      sort_by_radix<T, ShortCells::digit_bits>(column, n, scratch, values, index);
  } else {
    if (!sort_by_cells<T, LongCells>(column, n, scratch, values, index))
      sort_by_radix<T, LongCells::digit_bits>(column, n, scratch, values, index);
  }
}

// The columns of all matrices, in groups that do not reach from one matrix into the next.
struct Groups {
  explicit Groups(int64_t batch, int64_t columns)
      : columns(columns), per_matrix((columns + kGroup - 1) / kGroup), count(batch * per_matrix) {}

  int64_t matrix(int64_t group) const { return group / per_matrix; }
  int64_t first(int64_t group) const { return group % per_matrix * kGroup; }
  int64_t size(int64_t group) const { return std::min(kGroup, columns - first(group)); }

  const int64_t columns, per_matrix, count;
};

struct Cpu {
  static constexpr int64_t kLongest = std::numeric_limits<int64_t>::max();

  explicit Cpu(const Tensor&) {}

  template <class T>
  void sort(const Tensor& x, T* values, int64_t* index) {
    const Sizes sizes(x);
    const int64_t n = sizes.rows, columns = sizes.columns;
    const Matrices<T> at(x);
    const Groups groups(sizes.batch, columns);
    torch::stable::parallel_for(
        0, groups.count, rows_per_thread(4 * kGroup * n), [&](int64_t begin, int64_t end) {
          Scratch<T> scratch(n);
          for (int64_t g = begin; g < end; ++g) {
            const int64_t first = groups.first(g), size = groups.size(g);
            const T* source =
                at.data + groups.matrix(g) * at.batch_stride + first * at.column_stride;
            for (int64_t i = 0; i < n; ++i)
              for (int64_t c = 0; c < size; ++c)
                scratch.group[c * n + i] = source[i * at.row_stride + c * at.column_stride];
            for (int64_t c = 0; c < size; ++c) {
              const int64_t out = (groups.matrix(g) * columns + first + c) * n;
              sort_column(scratch.group.data() + c * n, n, scratch, values + out, index + out);
            }
          }
        });
  }

  // out[index[i][c]][c] = grad[i][c].
  template <class T>
  void unsort(const char* op, const Tensor& grad, const Tensor& index, T* out) {
    const Sizes sizes(grad);
    const int64_t n = sizes.rows, columns = sizes.columns;
    const Matrices<T> g_at(grad);
    const Matrices<int64_t> i_at(index);
    const Groups groups(sizes.batch, columns);
    std::atomic<bool> failed{false};
    torch::stable::parallel_for(
        0, groups.count, rows_per_thread(kGroup * n), [&](int64_t begin, int64_t end) {
          std::vector<T> scratch(kGroup * n);
          for (int64_t g = begin; g < end; ++g) {
            const int64_t matrix = groups.matrix(g), first = groups.first(g),
                          size = groups.size(g);
            // Rows that no index names, in an index that is no permutation, have gradient 0.
            std::fill(scratch.begin(), scratch.end(), T(0));
            for (int64_t c = 0; c < size; ++c) {
              const T* from =
                  g_at.data + matrix * g_at.batch_stride + (first + c) * g_at.column_stride;
              const int64_t* rows =
                  i_at.data + matrix * i_at.batch_stride + (first + c) * i_at.column_stride;
              for (int64_t i = 0; i < n; ++i) {
                const int64_t row = rows[i * i_at.row_stride];
                if (row < 0 || row >= n) {
                  failed = true;
                  return;
                }
                scratch[c * n + row] = from[i * g_at.row_stride];
              }
            }
            T* to = out + matrix * n * columns + first;
            for (int64_t i = 0; i < n; ++i)
              for (int64_t c = 0; c < size; ++c) to[i * columns + c] = scratch[c * n + i];
          }
        });
    SDV_CHECK(!failed, op, ": index must name rows from 0 to ", n - 1);
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("sorted_columns", TORCH_BOX(&sdv_wgangp::sorted_columns<sdv_wgangp::Cpu>));
  m.impl("sorted_columns_backward",
         TORCH_BOX(&sdv_wgangp::sorted_columns_backward<sdv_wgangp::Cpu>));
}
