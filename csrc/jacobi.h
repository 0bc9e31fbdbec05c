// Jacobi's method for the eigenvalues of small symmetric matrices, shared by the CPU and CUDA.
//
// A rotation in the plane of two indices p < q makes a[p][q] zero. Rotations of disjoint pairs do
// not touch each other, so a step applies size / 2 of them at once, in three phases between which
// the workers (threads of a CUDA block; on the CPU the one that calls) wait for each other:
//
//     choose    cosine and sine of every pair          a worker takes some pairs
//     columns   A <- A J and V <- V J                  some pairs, and of them some rows
//     rows      A <- J' A                              some pairs, and of them some columns
//
// The pairs of a step come from the schedule of a round-robin tournament; size - 1 steps, a sweep,
// meet every pair once. Sweeps go on until the largest element met off the diagonal is beneath
// rounding; convergence is quadratic, so that last sweep has removed it (Golub and Van Loan, Matrix
// Computations, 8.5).
#pragma once

#include "formulas.h"

namespace sdv_wgangp {

// Lanes are independent of each other, which the compiler cannot know of pointers.
#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define SDV_INDEPENDENT _Pragma("GCC ivdep")
#else
#define SDV_INDEPENDENT
#endif

constexpr int kMaxSweeps = 20;  // float32 needs 5 to 8, float64 one or two more

template <class T>
struct Rotation {
  T cosine, sine;
};

SDV_INLINE float absolute(float x) { return fabsf(x); }
SDV_INLINE double absolute(double x) { return fabs(x); }
SDV_INLINE float root(float x) { return sqrtf(x); }
SDV_INLINE double root(double x) { return sqrt(x); }

// The rotation by the smaller angle that makes a[p][q] zero in J' A J, J = [c s; -s c]. Without a
// branch, so that a loop over several matrices becomes vector code. The matrix is scaled
// (unit_scale), so nothing overflows but the quotient, to infinity, and then the angle is zero.
template <class T>
SDV_INLINE Rotation<T> rotation(T app, T aqq, T apq) {
  const T nonzero = apq == 0 ? T(1) : apq;
  const T tau = (aqq - app) / (2 * nonzero);
  const T size = 1 / (absolute(tau) + root(1 + tau * tau));
  const T tangent = apq == 0 ? T(0) : tau < 0 ? -size : size;
  const T cosine = 1 / root(1 + tangent * tangent);
  return {cosine, tangent * cosine};
}

// The tournament's schedule: player `ring` stays, the others move round a ring. For an odd size
// one index of each step has no partner: second == size.
struct Pairing {
  int first, second;
};

SDV_INLINE int pairs_of(int size) { return (size + 1) / 2; }
SDV_INLINE int steps_of(int size) { return size < 2 ? 0 : 2 * pairs_of(size) - 1; }

SDV_INLINE Pairing pairing(int size, int step, int pair) {
  const int ring = 2 * pairs_of(size) - 1;
  const int a = pair == 0 ? ring : (step + pair) % ring;
  const int b = pair == 0 ? step : (step + ring - pair) % ring;
  return a < b ? Pairing{a, b} : Pairing{b, a};
}

// A power of two that brings the largest absolute element, > 0, to between 1/2 and 1 without
// rounding (elements smaller by more than the type's range underflow to 0, beneath its precision).
template <class T>
SDV_INLINE int binary_exponent(T largest) {
  int exponent;
  frexp(static_cast<double>(largest), &exponent);
  return exponent;
}

template <class T>
SDV_INLINE T scaled(T value, int exponent) {
  return static_cast<T>(ldexp(static_cast<double>(value), exponent));
}

// The pairs of a step, and the rows or columns of the matrix, that a worker takes: from `pair` on
// every `pairs`-th one, and likewise.
struct Assignment {
  int pair, pairs, line, lines;
};

// Works on Lanes matrices at once, one on CUDA: element (i, j) of matrix m is
// a[(i * stride + j) * Lanes + m]. `vectors` is null where they are not wanted.
template <class T, int Lanes>
struct Jacobi {
  T* a;
  T* vectors;
  T* cosine;  // of each pair of a step, [pairs][Lanes]
  T* sine;
  int size, stride;

  SDV_INLINE T* element(T* matrix, int i, int j) const {
    return matrix + (i * stride + j) * Lanes;
  }

  // Of every Assignment::pairs-th pair from `first` on. Returns the largest absolute element off the
  // diagonal that was met.
  SDV_INLINE T choose(int step, int first, int pairs) const {
    T met[Lanes];
    for (int m = 0; m < Lanes; ++m) met[m] = 0;
    for (int pair = first; pair < pairs_of(size); pair += pairs) {
      const Pairing at = pairing(size, step, pair);
      if (at.second >= size) continue;
      const T* app = element(a, at.first, at.first);
      const T* aqq = element(a, at.second, at.second);
      const T* apq = element(a, at.first, at.second);
      T* c = cosine + pair * Lanes;
      T* s = sine + pair * Lanes;
      SDV_INDEPENDENT
      for (int m = 0; m < Lanes; ++m) {
        const Rotation<T> r = rotation(app[m], aqq[m], apq[m]);
        c[m] = r.cosine;
        s[m] = r.sine;
        met[m] = absolute(apq[m]) > met[m] ? absolute(apq[m]) : met[m];
      }
    }
    T largest = 0;
    for (int m = 0; m < Lanes; ++m) largest = met[m] > largest ? met[m] : largest;
    return largest;
  }

  static SDV_INLINE void rotate(T* x, T* y, const T* c, const T* s) {
    SDV_INDEPENDENT
    for (int m = 0; m < Lanes; ++m) {
      const T before = x[m];
      x[m] = c[m] * before - s[m] * y[m];
      y[m] = s[m] * before + c[m] * y[m];
    }
  }

  SDV_INLINE void columns(int step, Assignment own) const {
    for (int pair = own.pair; pair < pairs_of(size); pair += own.pairs) {
      const Pairing at = pairing(size, step, pair);
      if (at.second >= size) continue;
      const T* c = cosine + pair * Lanes;
      const T* s = sine + pair * Lanes;
      for (int row = own.line; row < size; row += own.lines) {
        rotate(element(a, row, at.first), element(a, row, at.second), c, s);
        if (vectors)
          rotate(element(vectors, row, at.first), element(vectors, row, at.second), c, s);
      }
    }
  }

  SDV_INLINE void rows(int step, Assignment own) const {
    for (int pair = own.pair; pair < pairs_of(size); pair += own.pairs) {
      const Pairing at = pairing(size, step, pair);
      if (at.second >= size) continue;
      const T* c = cosine + pair * Lanes;
      const T* s = sine + pair * Lanes;
      for (int column = own.line; column < size; column += own.lines) {
        T* x = element(a, at.first, column);
        T* y = element(a, at.second, column);
        rotate(x, y, c, s);
        // What the rotation was chosen to make zero, but for rounding.
        if (column == at.first)
          for (int m = 0; m < Lanes; ++m) y[m] = 0;
        if (column == at.second)
          for (int m = 0; m < Lanes; ++m) x[m] = 0;
      }
    }
  }

  // How many eigenvalues of matrix m come before the i-th one in ascending order.
  SDV_INLINE int rank(int i, int m) const {
    const T own = element(a, i, i)[m];
    int before = 0;
    for (int j = 0; j < size; ++j) {
      const T other = element(a, j, j)[m];
      before += other < own || (other == own && j < i) ? 1 : 0;
    }
    return before;
  }
};

}  // namespace sdv_wgangp
