// Loops over flat arrays. The compiler vectorises them; what matters is that nothing in them
// stops it.
#include "kernels/sums.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
void add(index_t size, const T* x, T* y) {
    for (index_t i = 0; i < size; ++i) y[i] += x[i];
}

// Lanes past the last column are replaced by zeros, for they may be anything.
template <typename T>
void add_rows(index_t rows, index_t cols, const T* tile, index_t tile_stride,
              const index_t* offsets, T* to) {
    const index_t whole = cols / kLanes<T> * kLanes<T>;
    for (index_t r = 0; r < rows; ++r, tile += tile_stride) {
        T* row = to + offsets[r];
        index_t c = 0;
        for (; c < whole; c += kLanes<T>) store(row + c, load(row + c) + load(tile + c));
        if (c < cols) store(row + c, load(row + c) + first_lanes<T>(cols - c, load(tile + c)));
    }
}

template <typename T>
void add_two(index_t size, const T* a, const T* b, bool rectify, T* y) {
    if (!rectify) {
        for (index_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
        return;
    }
    for (index_t i = 0; i < size; ++i) {
        const T sum = a[i] + b[i];
        y[i] = sum <= 0 ? T{0} : sum;
    }
}

template <typename T>
void drop(index_t size, const T* __restrict x, const float* __restrict draws, float p, T scale,
          T* __restrict y, T* __restrict mask) {
    for (index_t i = 0; i < size; ++i) {
        const bool keeps = draws[i] >= p;
        const T scaled = x[i] * scale;
        y[i] = keeps ? scaled : T{0};
        mask[i] = keeps ? scale : T{0};
    }
}

template <typename T>
constexpr ElementwiseKernels<T> kKernels = {
    .add = add<T>,
    .add_rows = add_rows<T>,
    .add_two = add_two<T>,
    .drop = drop<T>,
    .sum = sum<T>,
};

}  // namespace

const Topic<ElementwiseKernels> elementwise_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
