// Eigenvalues and eigenvectors of batches of symmetric matrices, on the CPU.
//
// Jacobi's method, kLanes matrices side by side in vector registers, for many matrices of sizes up
// to kSmall: LAPACK spends most of its time there on other things than arithmetic. LAPACK, through
// torch, otherwise.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "../symmetric_eigen.h"
#include "product.h"
#include "vector.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kSmall = 6;
constexpr int64_t kFew = 8;  // fewer matrices leave too many lanes without work

template <class T>
struct Problem {
  const T* a;  // contiguous
  T* values;
  T* vectors;  // one after the other; null where they are not wanted
  int size;
};

template <class T>
SDV_INLINE bool is_finite(T value) {
  return value - value == 0;
}

// Matrices from `begin` to `end`, kLanes at a time. `scratch` holds 2 size^2 + 2 pairs rows of
// kLanes numbers. A matrix with an element that is not finite has NaN everywhere.
template <class T>
SDV_INLINE void solve(const Problem<T>& problem, int64_t begin, int64_t end, T epsilon,
                      T* scratch) {
  const int size = problem.size;
  const int64_t area = int64_t(size) * size;
  T* const a = scratch;
  T* const v = a + area * kLanes;
  T* const cosine = v + area * kLanes;
  const Jacobi<T, kLanes> jacobi = {
      a, problem.vectors ? v : nullptr, cosine, cosine + pairs_of(size) * kLanes, size, size};
  const Assignment all = {.pair = 0, .pairs = 1, .line = 0, .lines = 1};
  for (int64_t first = begin; first < end; first += kLanes) {
    const int count = static_cast<int>(end - first < kLanes ? end - first : kLanes);
    int exponent[kLanes];
    bool finite[kLanes];
    for (int m = 0; m < kLanes; ++m) {
      T largest = 0;
      finite[m] = true;
      for (int i = 0; i < size; ++i)
        for (int j = 0; j <= i; ++j) {
          // Lanes without a matrix of their own solve the last one again.
          const T* matrix = problem.a + (first + (m < count ? m : count - 1)) * area;
          const T value = matrix[i * size + j];
          finite[m] = finite[m] && is_finite(value);
          largest = absolute(value) > largest ? absolute(value) : largest;
          jacobi.element(a, i, j)[m] = jacobi.element(a, j, i)[m] = value;
        }
      exponent[m] = finite[m] && largest > 0 ? binary_exponent(largest) : 0;
      for (int64_t e = 0; e < area; ++e)
        a[e * kLanes + m] = finite[m] ? scaled(a[e * kLanes + m], -exponent[m]) : T(0);
    }
    for (int64_t e = 0; e < area * kLanes; ++e) v[e] = 0;
    for (int i = 0; i < size; ++i)
      for (int m = 0; m < kLanes; ++m) jacobi.element(v, i, i)[m] = 1;

    for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
      T largest = 0;
      for (int step = 0; step < steps_of(size); ++step) {
        const T met = jacobi.choose(step, 0, 1);
        largest = met > largest ? met : largest;
        jacobi.columns(step, all);
        jacobi.rows(step, all);
      }
      if (largest <= epsilon) break;
    }

    for (int m = 0; m < count; ++m) {
      const T undefined = std::numeric_limits<T>::quiet_NaN();
      T* values = problem.values + (first + m) * size;
      for (int i = 0; i < size; ++i) {
        const int rank = jacobi.rank(i, m);
        values[rank] = finite[m] ? scaled(jacobi.element(a, i, i)[m], exponent[m]) : undefined;
        if (!problem.vectors) continue;
        T* vectors = problem.vectors + (first + m) * area;
        for (int row = 0; row < size; ++row)
          vectors[rank * size + row] = finite[m] ? jacobi.element(v, row, i)[m] : undefined;
      }
    }
  }
}

SDV_CLONES void solve_float(const Problem<float>& problem, int64_t begin, int64_t end,
                            float epsilon, float* scratch) {
  solve<float>(problem, begin, end, epsilon, scratch);
}
SDV_CLONES void solve_double(const Problem<double>& problem, int64_t begin, int64_t end,
                             double epsilon, double* scratch) {
  solve<double>(problem, begin, end, epsilon, scratch);
}
void solve_any(const Problem<float>& problem, int64_t begin, int64_t end, float* scratch) {
  solve_float(problem, begin, end, std::numeric_limits<float>::epsilon(), scratch);
}
void solve_any(const Problem<double>& problem, int64_t begin, int64_t end, double* scratch) {
  solve_double(problem, begin, end, std::numeric_limits<double>::epsilon(), scratch);
}

// out = Q diag(g) Q' for one matrix; `q` holds the rows of Q'. `left`, with a tile's rows to
// spare, takes diag(g) Q', `panel` some columns of Q'.
template <class T>
void eigen_gradient(const Tile<T>& tile, const T* grad, const T* q, int64_t size, T* left,
                    T* panel, T* out) {
  for (int64_t k = 0; k < size; ++k)
    for (int64_t i = 0; i < size; ++i) left[k * size + i] = grad[k] * q[k * size + i];
  for (int64_t j = 0; j < size; j += tile.columns) {
    const int64_t columns = std::min(tile.columns, size - j);
    for (int64_t k = 0; k < size; ++k)
      std::copy_n(q + k * size + j, columns, panel + k * tile.columns);
    for (int64_t i = 0; i < size; i += tile.rows) {
      T products[kMaxTile];
      tile.product(size, left + i, 1, size, panel, products);
      for (int64_t r = i; r < std::min(size, i + tile.rows); ++r)
        std::copy_n(products + (r - i) * tile.columns, columns, out + r * size + j);
    }
  }
}

struct Cpu {
  explicit Cpu(const Tensor&) {}

  static bool by_jacobi(int64_t batch, int64_t size) {
    return size <= kSmall && (size <= 1 || batch >= kFew);
  }

  // `vectors` null where they are not wanted.
  template <class T>
  void jacobi(const T* a, int64_t batch, int size, T* values, T* vectors) {
    const Problem<T> problem = {.a = a, .values = values, .vectors = vectors, .size = size};
    const int64_t groups = (batch + kLanes - 1) / kLanes;
    // A sweep costs some 10 size^3 operations a matrix.
    const int64_t grain = rows_per_thread(50 * kLanes * int64_t(size) * size * size);
    torch::stable::parallel_for(0, groups, grain, [&](int64_t begin, int64_t end) {
      std::vector<T> scratch((2 * size * size + 2 * pairs_of(size)) * kLanes);
      solve_any(problem, begin * kLanes, std::min(batch, end * kLanes), scratch.data());
    });
  }

  // LAPACK fails where an element is not finite: those matrices are solved as zeros and end as
  // NaN.
  template <class T>
  std::tuple<Tensor, Tensor> solve(const Tensor& a, bool wanted) {
    const int64_t batch = Sizes(a).batch, size = Sizes(a).rows, area = size * size;
    const T* at = a.const_data_ptr<T>();
    std::vector<int64_t> undefined;
    for (int64_t b = 0; b < batch; ++b) {
      bool finite = true;
      for (int64_t i = 0; i < size; ++i)
        for (int64_t j = 0; j <= i; ++j) finite = finite && is_finite(at[b * area + i * size + j]);
      if (!finite) undefined.push_back(b);
    }
    Tensor solved = a;
    if (!undefined.empty()) {
      solved = torch::stable::clone(a);
      for (const int64_t b : undefined)
        std::fill_n(solved.mutable_data_ptr<T>() + b * area, area, T(0));
    }
    auto [values, vectors] = solve_by_torch(solved, wanted);
    for (const int64_t b : undefined) {
      const T nan = std::numeric_limits<T>::quiet_NaN();
      std::fill_n(values.template mutable_data_ptr<T>() + b * size, size, nan);
      if (wanted) std::fill_n(vectors.template mutable_data_ptr<T>() + b * area, area, nan);
    }
    return {values, vectors};
  }

  template <class T>
  void eigen_backward(const T* grad, const T* q, int64_t batch, int64_t size, T* out) {
    const Tile<T> tile = best_tile<T>();
    torch::stable::parallel_for(
        0, batch, rows_per_thread(size * size * size), [&](int64_t begin, int64_t end) {
          std::vector<T> left(size * size + tile.rows), panel(size * tile.columns);
          for (int64_t b = begin; b < end; ++b)
            eigen_gradient(tile, grad + b * size, q + b * size * size, size, left.data(),
                           panel.data(), out + b * size * size);
        });
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CPU, m) {
  m.impl("symmetric_eigen", TORCH_BOX(&sdv_wgangp::symmetric_eigen<sdv_wgangp::Cpu>));
  m.impl("symmetric_eigen_backward",
         TORCH_BOX(&sdv_wgangp::symmetric_eigen_backward<sdv_wgangp::Cpu>));
}
