#include <pocketcnn/linear.h>

#include <algorithm>
#include <stdexcept>

#include "gemm/matrix.h"
#include "runtime/isa.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

template <typename... Views>
void require(bool fits, const Views&... views) {
    const bool negative = ((views.rows < 0 || views.cols < 0) || ...);
    if (negative) throw std::invalid_argument("a matrix has a negative size");
    if (!fits) throw std::invalid_argument("the sizes of x, weight and y do not fit each other");
}

double product_work(index_t rows, index_t cols, index_t depth) {
    return static_cast<double>(rows) * static_cast<double>(cols) * static_cast<double>(depth);
}

/// result (rows, cols) = left * right (+ bias by column). Each operand is given as its panels
/// see it: lanes are rows of the result for the left, columns for the right.
template <typename T>
void multiply(const gemm::Operand<T>& left, const gemm::Operand<T>& right, index_t depth,
              const T* bias, T* result) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t rows = left.lanes, cols = right.lanes;
    const gemm::Partition cut = gemm::partition(kernel, rows, cols, depth);
    const double work = product_work(rows, cols, depth);
    const gemm::PackedLeft<T> packed(kernel, left, depth);
    parallel_for(cut.blocks(), work, [&](index_t i) {
        gemm::RightMatrix<T> read(kernel, right);
        gemm::StoreMatrix<T> write(kernel, result, cols, bias);
        gemm::multiply_block(kernel, cut.block(i, rows, cols, depth), packed, read, write);
    });
}

/// Up to here the weights are read in place instead of packed. Milliseconds on one Zen 5 core,
/// forward and dx, 9216 to 4096: 1 row 14.0 and 16.2 packed, 4.9 and 4.7 in place; 7 rows in place
/// 11.7 and 11.2, 8 packed 14.0 and 16.1. 4320 to 100: 7 in place 0.072 and 0.076, 8 packed 0.085
/// and 0.060.
constexpr index_t kFewRows = 7;

}  // namespace

template <typename T>
void linear(MatrixView<const T> x, MatrixView<const T> weight, const T* bias, MatrixView<T> y) {
    require(x.cols == weight.cols && y.rows == x.rows && y.cols == weight.rows, x, weight);
    if (x.rows <= kFewRows) {
        constexpr index_t grain = 16;
        const Kernels<T>& kernel = kernels<T>();
        parallel_ranges(
            y.cols, grain, product_work(x.rows, 1, x.cols), [&](index_t c, index_t end) {
                kernel.few_rows_dots(x.rows, end - c, x.cols, x.data, weight.data + c * x.cols,
                                     bias != nullptr ? bias + c : nullptr, y.data + c, y.cols);
            });
        return;
    }
    multiply<T>({x.data, x.rows, x.cols, 1}, {weight.data, weight.rows, weight.cols, 1}, x.cols,
                bias, y.data);
}

template <typename T>
void linear_input_grad(MatrixView<const T> dy, MatrixView<const T> weight, MatrixView<T> dx) {
    require(dy.cols == weight.rows && dx.rows == dy.rows && dx.cols == weight.cols, dy, weight);
    if (dy.rows <= kFewRows) {
        // 4 KiB of a row of weights at a time, in which their rows follow each other.
        constexpr index_t grain = 1024;
        const Kernels<T>& kernel = kernels<T>();
        parallel_ranges(dx.cols, grain, product_work(dy.rows, 1, dy.cols),
                        [&](index_t c, index_t end) {
                            kernel.few_rows_sums(dy.rows, end - c, dy.cols, dy.data,
                                                 weight.data + c, dx.cols, dx.data + c);
                        });
        return;
    }
    multiply<T>({dy.data, dy.rows, dy.cols, 1}, {weight.data, weight.cols, 1, weight.cols}, dy.cols,
                nullptr, dx.data);
}

template <typename T>
void linear_weight_grad(MatrixView<const T> dy, MatrixView<const T> x, MatrixView<T> dweight) {
    require(dy.rows == x.rows && dweight.rows == dy.cols && dweight.cols == x.cols, dy, x);
    multiply<T>({dy.data, dy.cols, 1, dy.cols}, {x.data, x.cols, 1, x.cols}, x.rows, nullptr,
                dweight.data);
}

template <typename T>
void linear_bias_grad(MatrixView<const T> dy, T* dbias) {
    require(true, dy);
    constexpr index_t grain = 1024;
    const Kernels<T>& kernel = kernels<T>();
    parallel_ranges(dy.cols, grain, static_cast<double>(dy.rows), [&](index_t col, index_t end) {
        std::fill(dbias + col, dbias + end, T{0});
        for (index_t row = 0; row < dy.rows; ++row) {
            kernel.add(end - col, dy.data + row * dy.cols + col, dbias + col);
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                                               \
    template void linear(MatrixView<const T>, MatrixView<const T>, const T*, MatrixView<T>);   \
    template void linear_input_grad(MatrixView<const T>, MatrixView<const T>, MatrixView<T>);  \
    template void linear_weight_grad(MatrixView<const T>, MatrixView<const T>, MatrixView<T>); \
    template void linear_bias_grad(MatrixView<const T>, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
