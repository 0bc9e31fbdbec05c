// The search for exact relations between the columns of a table, on NumPy arrays: counts of pairs,
// sums, products and ratios of triples, functional dependences. sdv_wgangp/encoding/relations/
// counting_numpy.py is the same in NumPy; tests hold the two together, integer for integer.
//
// A Python module of its own, beside the operators on tensors: pybind11 makes it one file for
// each version of Python. The lock of the interpreter is released while threads work.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "../cpu/vector.h"
#include "../formulas.h"

namespace py = pybind11;

namespace {

using Numbers = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Codes = py::array_t<int32_t, py::array::c_style | py::array::forcecast>;
using Flags = py::array_t<bool, py::array::c_style | py::array::forcecast>;

constexpr int64_t kBlock = 1024;  // rows whose columns stay in the cache
// Triples are given up after so many rows where they hold too seldom.
constexpr int64_t kProbes[] = {64, 256, 1024};
constexpr int64_t kEnough = 8;  // rows that say something about a triple, before it is given up
constexpr int64_t kFewest = 8;  // after the last probe
constexpr int64_t kDependenceProbe = 2048;
constexpr int64_t kRepeats = 16;  // in that probe, of what may determine a column

enum Kind : int64_t { kSum = 0, kProduct = 1, kRatio = 2 };

// Calls work(item, thread) for every item, on several threads; the first exception is raised.
template <typename Work>
void each(int64_t items, int64_t threads, const Work& work) {
  threads = std::max<int64_t>(1, std::min(threads, items));
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::mutex lock;
  const auto run = [&](int64_t thread) {
    try {
      for (int64_t item = next++; item < items; item = next++) work(item, thread);
    } catch (...) {
      next = items;
      std::lock_guard<std::mutex> guard(lock);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(threads);
  try {
    for (int64_t thread = 1; thread < threads; ++thread) others.emplace_back(run, thread);
  } catch (const std::system_error&) {
    // The system gives no more of them; those that there are do all the work.
  }
  run(0);
  for (auto& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

void check(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

py::array_t<int64_t> array_of(const std::vector<int64_t>& values, int64_t width) {
  const auto rows = static_cast<py::ssize_t>(values.size()) / width;
  py::array_t<int64_t> result({rows, static_cast<py::ssize_t>(width)});
  std::copy(values.begin(), values.end(), result.mutable_data());
  return result;
}

// ---- pairs -------------------------------------------------------------------------------------

SDV_CLONES
void count_pair(const double* x, const double* y, int64_t rows, int64_t* equal, int64_t* below) {
  int64_t same = 0, less = 0;
  for (int64_t r = 0; r < rows; ++r) {
    same += x[r] == y[r];
    less += x[r] < y[r];
  }
  *equal += same;
  *below += less;
}

py::tuple count_pairs(const Numbers& values, int64_t threads) {
  check(values.ndim() == 2, "values: expected shape [columns, rows]");
  const int64_t columns = values.shape(0), rows = values.shape(1);
  py::array_t<int64_t> equal({columns, columns}), below({columns, columns});
  const double* data = values.data();
  int64_t* equal_data = equal.mutable_data();
  int64_t* below_data = below.mutable_data();
  {
    py::gil_scoped_release release;
    const int64_t size = columns * columns;
    threads = std::max<int64_t>(threads, 1);
    std::vector<std::vector<int64_t>> partial(threads, std::vector<int64_t>(2 * size));
    each((rows + kBlock - 1) / kBlock, threads, [&](int64_t block, int64_t thread) {
      const int64_t start = block * kBlock, length = std::min(kBlock, rows - start);
      int64_t* counts = partial[thread].data();
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          int64_t* cell = counts + 2 * (i * columns + j);
          count_pair(data + i * rows + start, data + j * rows + start, length, cell, cell + 1);
        }
      }
    });
    for (int64_t cell = 0; cell < size; ++cell) {
      equal_data[cell] = below_data[cell] = 0;
      for (const auto& counts : partial) {
        equal_data[cell] += counts[2 * cell];
        below_data[cell] += counts[2 * cell + 1];
      }
    }
  }
  return py::make_tuple(equal, below);
}

// ---- sums, products, ratios of triples -----------------------------------------------------------

// What b and c make, and the size that floats are compared by; NaN where that is no number. Zeros
// are NaN in b and c already.
SDV_CLONES
void combine(int64_t kind, const double* b, const double* c, int64_t rows, double* made,
             double* size) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  for (int64_t r = 0; r < rows; ++r) {
    const double other = kind == kSum ? b[r] + c[r] : kind == kProduct ? b[r] * c[r] : b[r] / c[r];
    made[r] = other - other == 0 ? other : kNone;
    size[r] = kind == kSum ? std::fabs(b[r]) + std::fabs(c[r]) : std::fabs(other);
  }
}

// Counts rows where all three are there, and those where a is what b and c make. `reach` is how
// far two floats that should be equal lie apart at most, per unit of their size.
SDV_CLONES
void count_rows(const double* a, const double* made, const double* size, int64_t rows,
                double reach, double half, int64_t* told, int64_t* held) {
  int64_t all = 0, hits = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const double apart = std::fabs(a[r] - made[r]);
    const double most = half + reach * (std::fabs(a[r]) + size[r]);
    all += apart == apart;
    hits += apart <= most;
  }
  *told += all;
  *held += hits;
}

// The rows of one pair of columns combined, block by block, as far as they were asked for.
class Combined {
 public:
  void start(int64_t kind, const double* b, const double* c, int64_t rows) {
    kind_ = kind, b_ = b, c_ = c, done_ = 0;
    made_.resize(rows);
    size_.resize(rows);
  }
  void count(const double* a, int64_t start, int64_t end, double reach, double half, int64_t* told,
             int64_t* held) {
    if (end > done_) {
      combine(kind_, b_ + done_, c_ + done_, end - done_, made_.data() + done_,
              size_.data() + done_);
      done_ = end;
    }
    count_rows(a + start, made_.data() + start, size_.data() + start, end - start, reach, half,
               told, held);
  }

 private:
  int64_t kind_ = 0, done_ = 0;
  const double *b_ = nullptr, *c_ = nullptr;
  std::vector<double> made_, size_;
};

py::array_t<int64_t> find_triples(const Numbers& values, const Numbers& reach, const Numbers& half,
                                  const Flags& dates, const Flags& targets, double least_fraction,
                                  int64_t threads) {
  check(values.ndim() == 2, "values: expected shape [columns, rows]");
  const int64_t columns = values.shape(0), rows = values.shape(1);
  check(reach.size() == columns && half.size() == columns && dates.size() == columns &&
            targets.size() == columns,
        "reach, half, dates, targets: expected one of each for every column");
  const double *given = values.data(), *reaches = reach.data(), *halves = half.data();
  const bool *is_date = dates.data(), *may_be = targets.data();
  std::vector<std::vector<int64_t>> found(columns * columns);
  {
    py::gil_scoped_release release;
    threads = std::max<int64_t>(threads, 1);
    std::vector<double> numbers(given, given + columns * rows);
    for (double& number : numbers) {
      if (number == 0) number = std::numeric_limits<double>::quiet_NaN();
    }
    const double* data = numbers.data();
    std::vector<Combined> scratch(threads);
    each(columns * columns, threads, [&](int64_t pair, int64_t thread) {
      const int64_t b = pair / columns, c = pair % columns;
      auto& combined = scratch[thread];
      for (int64_t kind = kSum; kind <= kRatio; ++kind) {
        if (kind != kRatio && b > c) continue;
        if (kind != kProduct && b == c) continue;  // squares
        if (kind != kSum && (is_date[b] || is_date[c])) continue;
        combined.start(kind, data + b * rows, data + c * rows, rows);
        for (int64_t a = 0; a < columns; ++a) {
          if (a == b || a == c) continue;
          if (is_date[a] ? is_date[b] == is_date[c] : is_date[b] || is_date[c]) continue;
          if (kind != kSum && (!may_be[a] || is_date[a])) continue;
          const double most = std::max({reaches[a], reaches[b], reaches[c]});
          const double rounding = kind == kSum ? 0.0 : halves[a];
          int64_t told = 0, held = 0, done = 0;
          bool given_up = false;
          for (const int64_t probe : kProbes) {
            const int64_t end = std::min(probe, rows);
            combined.count(data + a * rows, done, end, most, rounding, &told, &held);
            done = end;
            given_up = told >= kEnough &&
                       static_cast<double>(held) < least_fraction / 2 * static_cast<double>(told);
            if (given_up) break;
          }
          if (given_up || told < kFewest) continue;
          combined.count(data + a * rows, done, rows, most, rounding, &told, &held);
          if (static_cast<double>(held) < least_fraction * static_cast<double>(told)) continue;
          auto& list = found[pair];
          list.insert(list.end(), {kind, a, b, c, told, held});
        }
      }
    });
  }
  std::vector<int64_t> all;
  for (const auto& list : found) all.insert(all.end(), list.begin(), list.end());
  return array_of(all, 6);
}

// ---- functional dependences ----------------------------------------------------------------------

// For each row the first one with the same key; open addressing, kept from call to call.
class FirstRows {
 public:
  const std::vector<int32_t>& of(const int32_t* x, const int32_t* y, int64_t rows) {
    int64_t size = 16;
    while (size < 2 * rows) size *= 2;
    if (static_cast<int64_t>(slots_.size()) < size) slots_.resize(size);
    std::fill(slots_.begin(), slots_.begin() + size, -1);
    first_.resize(rows);
    const uint64_t mask = static_cast<uint64_t>(size) - 1;
    for (int64_t r = 0; r < rows; ++r) {
      const uint64_t key =
          static_cast<uint64_t>(static_cast<uint32_t>(x[r])) << 32 | static_cast<uint32_t>(y[r]);
      uint64_t slot = (key * 0x9E3779B97F4A7C15ull) >> 20 & mask;
      while (true) {
        const int32_t seen = slots_[slot];
        if (seen < 0) {
          slots_[slot] = first_[r] = static_cast<int32_t>(r);
          break;
        }
        if (x[seen] == x[r] && y[seen] == y[r]) {
          first_[r] = seen;
          break;
        }
        slot = (slot + 1) & mask;
      }
    }
    return first_;
  }

 private:
  std::vector<int32_t> slots_, first_;
};

bool determines(const std::vector<int32_t>& first, const int32_t* target, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r) {
    if (target[first[r]] != target[r]) return false;
  }
  return true;
}

int64_t repeats(const std::vector<int32_t>& first) {
  int64_t count = 0;
  for (size_t r = 0; r < first.size(); ++r) count += first[r] != static_cast<int32_t>(r);
  return count;
}

py::array_t<int64_t> find_dependences(const Codes& codes, const Flags& sources,
                                      const Flags& targets, double least_repeats, bool of_two,
                                      int64_t threads) {
  check(codes.ndim() == 2, "codes: expected shape [columns, rows]");
  const int64_t columns = codes.shape(0), rows = codes.shape(1);
  check(sources.size() == columns && targets.size() == columns,
        "sources, targets: expected one of each for every column");
  check(rows < std::numeric_limits<int32_t>::max(), "codes: expected fewer than 2**31 rows");
  const int32_t* data = codes.data();
  const bool *may_be = sources.data(), *asked = targets.data();
  const int64_t head = std::min(rows, kDependenceProbe);
  const double least = least_repeats * static_cast<double>(rows);
  std::vector<int64_t> all;
  {
    py::gil_scoped_release release;
    threads = std::max<int64_t>(threads, 1);
    std::vector<FirstRows> scratch(threads), whole(threads);
    std::vector<char> alone(columns * columns, 0);
    each(columns, threads, [&](int64_t x, int64_t thread) {
      if (!may_be[x]) return;
      const int32_t* source = data + x * rows;
      const auto& first = scratch[thread].of(source, source, rows);
      if (static_cast<double>(repeats(first)) < least) return;
      for (int64_t y = 0; y < columns; ++y) {
        alone[x * columns + y] = y != x && asked[y] && determines(first, data + y * rows, rows);
      }
    });
    for (int64_t x = 0; x < columns; ++x) {
      for (int64_t y = 0; y < columns; ++y) {
        if (alone[x * columns + y]) all.insert(all.end(), {y, x, -1});
      }
    }
    std::vector<std::vector<int64_t>> found(columns * columns);
    each(of_two ? columns * columns : 0, threads, [&](int64_t pair, int64_t thread) {
      const int64_t x = pair / columns, z = pair % columns;
      if (x >= z || !may_be[x] || !may_be[z] || alone[x * columns + z] || alone[z * columns + x])
        return;
      const int32_t *one = data + x * rows, *other = data + z * rows;
      const auto& first = scratch[thread].of(one, other, head);
      if (repeats(first) < kRepeats) return;
      const std::vector<int32_t>* full = nullptr;
      for (int64_t y = 0; y < columns; ++y) {
        if (y == x || y == z || !asked[y] || alone[x * columns + y] || alone[z * columns + y])
          continue;
        const int32_t* target = data + y * rows;
        if (!determines(first, target, head)) continue;
        if (full == nullptr) {
          full = &whole[thread].of(one, other, rows);
          if (static_cast<double>(repeats(*full)) < least) return;
        }
        if (determines(*full, target, rows)) {
          auto& list = found[pair];
          list.insert(list.end(), {y, x, z});
        }
      }
    });
    for (const auto& list : found) all.insert(all.end(), list.begin(), list.end());
  }
  return array_of(all, 3);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "Searches and checks on NumPy arrays: see sdv_wgangp/encoding/relations.";
  module.def("count_pairs", &count_pairs, py::arg("values"), py::arg("threads"));
  module.def("find_triples", &find_triples, py::arg("values"), py::arg("reach"), py::arg("half"),
             py::arg("dates"), py::arg("targets"), py::arg("least_fraction"), py::arg("threads"));
  module.def("find_dependences", &find_dependences, py::arg("codes"), py::arg("sources"),
             py::arg("targets"), py::arg("least_repeats"), py::arg("of_two"), py::arg("threads"));
}
