// Eigenvalues and eigenvectors of batches of symmetric matrices, on CUDA.
//
// Jacobi's method (jacobi.h), one thread block a matrix in shared memory, for sizes up to kLargest;
// torch's solver beyond. Threads form lines of 32: a line takes pairs of the step, its threads the
// rows or columns of the matrix. Phases are apart by a barrier:
//
//     choose | columns | rows | choose | ...      the sweep's largest element, by a vote, at its end
//
// The sizes are known to the host and nothing waits for it; the number of sweeps is each block's.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "../symmetric_eigen.h"
#include "device.h"

namespace sdv_wgangp {
namespace {

constexpr int64_t kLargest = 64;
constexpr int kLine = 32;
constexpr int kThreads = 256;
constexpr int kLines = kThreads / kLine;

// Rows are kept one element apart from a multiple of the banks, which a column would else fall
// into all at once.
template <class T>
size_t shared_bytes(int size, bool vectors) {
  return sizeof(T) * ((vectors ? 2 : 1) * size * (size + 1) + 2 * pairs_of(size));
}

// Matrices contiguous; `vectors`, null where not wanted, one eigenvector after the other.
template <class T>
__global__ void __launch_bounds__(kThreads)
    jacobi_kernel(const T* matrices, int64_t batch, int size, T epsilon, T undefined, T* values,
                  T* vectors) {
  extern __shared__ double storage[];
  __shared__ T largest_of[kThreads / kLine];
  const int area = size * (size + 1);
  T* a = reinterpret_cast<T*>(storage);
  T* v = vectors ? a + area : nullptr;
  T* cosine = a + (vectors ? 2 : 1) * area;
  const Jacobi<T, 1> jacobi = {a, v, cosine, cosine + pairs_of(size), size, size + 1};
  const int thread = static_cast<int>(threadIdx.x);
  const Assignment own = {
      .pair = thread / kLine, .pairs = kLines, .line = thread % kLine, .lines = kLine};
  for (int64_t b = blockIdx.x; b < batch; b += gridDim.x) {
    const T* from = matrices + b * size * size;
    T largest = 0;
    bool finite = true;
    __syncthreads();
    for (int e = thread; e < size * size; e += kThreads) {
      const int i = e / size, j = e % size;
      const T value = i >= j ? from[i * size + j] : from[j * size + i];
      finite = finite && value - value == 0;
      largest = absolute(value) > largest ? absolute(value) : largest;
      *jacobi.element(a, i, j) = value;
      if (v) *jacobi.element(v, i, j) = i == j;
    }
#pragma unroll
    for (int distance = kLine / 2; distance > 0; distance /= 2) {
      const T other = __shfl_xor_sync(0xffffffffu, largest, distance);
      largest = other > largest ? other : largest;
    }
    if (thread % kLine == 0) largest_of[thread / kLine] = largest;
    finite = __syncthreads_and(finite);
    for (int line = 0; line < kLines; ++line)
      largest = largest_of[line] > largest ? largest_of[line] : largest;
    const int exponent = finite && largest > 0 ? binary_exponent(largest) : 0;
    for (int e = thread; e < size * size; e += kThreads) {
      T* element = jacobi.element(a, e / size, e % size);
      *element = finite ? scaled(*element, -exponent) : T(0);
    }
    __syncthreads();

    for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
      bool converged = true;
      for (int step = 0; step < steps_of(size); ++step) {
        converged = converged && jacobi.choose(step, thread, kThreads) <= epsilon;
        __syncthreads();
        jacobi.columns(step, own);
        __syncthreads();
        jacobi.rows(step, own);
        __syncthreads();
      }
      if (__syncthreads_and(converged)) break;
    }

    for (int i = thread / kLine; i < size; i += kLines) {
      const int rank = jacobi.rank(i, 0);
      if (thread % kLine == 0)
        values[b * size + rank] = finite ? scaled(*jacobi.element(a, i, i), exponent) : undefined;
      if (v)
        for (int row = thread % kLine; row < size; row += kLine)
          vectors[(b * size + rank) * size + row] =
              finite ? *jacobi.element(v, row, i) : undefined;
    }
  }
}

// What the solver must not see is replaced by zeros and becomes NaN afterwards, as on the CPU, and
// without asking the device whether there is any.
template <class T>
__global__ void clean_kernel(const T* from, int64_t batch, int64_t size, T* to, bool* finite) {
  for (int64_t b = blockIdx.x; b < batch; b += gridDim.x) {
    bool own = true;
    const T* matrix = from + b * size * size;
    for (int64_t e = threadIdx.x; e < size * size; e += kThreads)
      own = own && (e % size > e / size || matrix[e] - matrix[e] == 0);
    const bool all = __syncthreads_and(own);
    for (int64_t e = threadIdx.x; e < size * size; e += kThreads)
      to[b * size * size + e] = all ? matrix[e] : T(0);
    if (threadIdx.x == 0) finite[b] = all;
  }
}

template <class T>
__global__ void mark_kernel(const bool* finite, int64_t batch, int64_t count, T undefined,
                            T* out) {
  for (int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x; at < batch * count;
       at += int64_t(gridDim.x) * kThreads)
    if (!finite[at / count]) out[at] = undefined;
}

// out[i][j] = sum over k of q[k][i] g[k] q[k][j]; `q` holds the rows of Q'.
template <class T>
__global__ void gradient_kernel(const T* grad, const T* q, int64_t batch, int64_t size, T* out) {
  const int64_t area = size * size;
  for (int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x; at < batch * area;
       at += int64_t(gridDim.x) * kThreads) {
    const int64_t b = at / area, i = at % area / size, j = at % size;
    const T* vectors = q + b * area;
    T sum = 0;
    for (int64_t k = 0; k < size; ++k)
      sum += grad[b * size + k] * vectors[k * size + i] * vectors[k * size + j];
    out[at] = sum;
  }
}

class Cuda : public CudaDevice {
 public:
  using CudaDevice::CudaDevice;

  static bool by_jacobi(int64_t, int64_t size) { return size <= kLargest; }

  // `vectors` null where they are not wanted.
  template <class T>
  void jacobi(const T* a, int64_t batch, int size, T* values, T* vectors) {
    const size_t bytes = shared_bytes<T>(size, vectors != nullptr);
    // Beyond 48 KB, which doubles of the largest sizes need, a kernel must be allowed to.
    if (bytes > 48 * 1024) {
      const cudaError_t error = cudaFuncSetAttribute(
          jacobi_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      SDV_CHECK(error == cudaSuccess, "symmetric_eigen: no ", bytes, " bytes of shared memory, ",
                cudaGetErrorString(error));
    }
    const unsigned blocks = static_cast<unsigned>(std::min<int64_t>(batch, int64_t(1) << 30));
    jacobi_kernel<T><<<blocks, kThreads, bytes, stream_>>>(
        a, batch, size, std::numeric_limits<T>::epsilon(), std::numeric_limits<T>::quiet_NaN(),
        values, vectors);
    check_launch("symmetric_eigen");
  }

  template <class T>
  std::tuple<Tensor, Tensor> solve(const Tensor& a, bool wanted) {
    const int64_t batch = Sizes(a).batch, size = Sizes(a).rows;
    const Tensor solved = torch::stable::new_empty(a, batched(a, {size, size}));
    bool* finite = take<bool>(batch);
    const unsigned blocks = static_cast<unsigned>(std::clamp<int64_t>(batch, 1, 1 << 30));
    clean_kernel<T><<<blocks, kThreads, 0, stream_>>>(a.const_data_ptr<T>(), batch, size,
                                                      solved.mutable_data_ptr<T>(), finite);
    auto [values, vectors] = solve_by_torch(solved, wanted);
    const T undefined = std::numeric_limits<T>::quiet_NaN();
    mark_kernel<T><<<blocks, kThreads, 0, stream_>>>(finite, batch, size, undefined,
                                                     values.template mutable_data_ptr<T>());
    if (wanted)
      mark_kernel<T><<<blocks, kThreads, 0, stream_>>>(finite, batch, size * size, undefined,
                                                       vectors.template mutable_data_ptr<T>());
    check_launch("symmetric_eigen");
    return {values, vectors};
  }

  template <class T>
  void eigen_backward(const T* grad, const T* q, int64_t batch, int64_t size, T* out) {
    const int64_t blocks = (batch * size * size + kThreads - 1) / kThreads;
    if (blocks == 0) return;
    gradient_kernel<T>
        <<<static_cast<unsigned>(std::min<int64_t>(blocks, 1 << 30)), kThreads, 0, stream_>>>(
            grad, q, batch, size, out);
    check_launch("symmetric_eigen_backward");
  }
};

}  // namespace
}  // namespace sdv_wgangp

STABLE_TORCH_LIBRARY_IMPL(sdv_wgangp, CUDA, m) {
  m.impl("symmetric_eigen", TORCH_BOX(&sdv_wgangp::symmetric_eigen<sdv_wgangp::Cuda>));
  m.impl("symmetric_eigen_backward",
         TORCH_BOX(&sdv_wgangp::symmetric_eigen_backward<sdv_wgangp::Cuda>));
}
