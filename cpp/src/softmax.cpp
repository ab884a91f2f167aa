#include <pocketcnn/softmax.h>

#include <algorithm>
#include <cmath>

#include "exponential_rows.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Largest number of columns processed together if the axis is not the last one: a few rows of 4
/// KiB of each array then stay in the L1 cache.
constexpr index_t kColumns = 1024;

double size_of(const AxisShape& shape) {
    return static_cast<double>(shape.outer * shape.inner) * static_cast<double>(shape.classes);
}

/// Runs body(offset of the first element, columns, scratch for one element and one sum per column)
/// for blocks of columns of an array that is normalised along an axis other than its last. Elements
/// of one column are shape.inner apart.
template <typename T, typename Body>
void for_columns(const AxisShape& shape, Body&& body) {
    const index_t blocks = ceil_div(shape.inner, kColumns);
    parallel_for(shape.outer * blocks, kExponentialCost * size_of(shape), [&](index_t i) {
        const Buffer<T> elements(kColumns);
        const Buffer<double> sums(kColumns);
        const index_t column = i % blocks * kColumns;
        body(i / blocks * shape.classes * shape.inner + column,
             std::min(kColumns, shape.inner - column), elements.data(), sums.data());
    });
}

/// y = exp(x - largest), and the largest element and the sum of y per column. NaN propagates.
template <typename T>
void exp_columns(const Kernels<T>& kernels, const AxisShape& shape, const T* x, index_t columns,
                 T* y, T* largest, double* sum) {
    std::copy_n(x, columns, largest);
    for (index_t k = 1; k < shape.classes; ++k) {
        const T* row = x + k * shape.inner;
        for (index_t i = 0; i < columns; ++i) {
            const bool keep = (row[i] <= largest[i]) | (largest[i] != largest[i]);
            largest[i] = keep ? largest[i] : row[i];
        }
    }
    std::fill_n(sum, columns, 0.0);
    for (index_t k = 0; k < shape.classes; ++k) {
        const T* row = x + k * shape.inner;
        T* out = y + k * shape.inner;
        for (index_t i = 0; i < columns; ++i) out[i] = row[i] - largest[i];
        kernels.softmax.exp(columns, out, out);
        for (index_t i = 0; i < columns; ++i) sum[i] += static_cast<double>(out[i]);
    }
}

}  // namespace

template <typename T>
void softmax(const T* x, const AxisShape& shape, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape.outer, classes, [&](index_t at) {
            T* out = y + at;
            const double sum = kernels.softmax.exp_minus(
                classes, x + at, kernels.softmax.largest(classes, x + at), out);
            kernels.softmax.scale(classes, out, static_cast<T>(1 / sum), out);
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* largest, double* sum) {
        exp_columns(kernels, shape, x + at, columns, y + at, largest, sum);
        T* scale = largest;
        for (index_t i = 0; i < columns; ++i) scale[i] = static_cast<T>(1 / sum[i]);
        for (index_t k = 0; k < classes; ++k) {
            T* out = y + at + k * inner;
            for (index_t i = 0; i < columns; ++i) out[i] *= scale[i];
        }
    });
}

template <typename T>
void log_softmax(const T* x, const AxisShape& shape, T* y) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape.outer, classes, [&](index_t at) {
            T* out = y + at;
            const T largest = kernels.softmax.largest(classes, x + at);
            const double sum = kernels.softmax.exp_minus(classes, x + at, largest, out);
            kernels.softmax.subtract(classes, x + at, largest, static_cast<T>(std::log(sum)), out);
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* largest, double* sum) {
        exp_columns(kernels, shape, x + at, columns, y + at, largest, sum);
        for (index_t i = 0; i < columns; ++i) sum[i] = std::log(sum[i]);
        for (index_t k = 0; k < classes; ++k) {
            const T* from = x + at + k * inner;
            T* out = y + at + k * inner;
            for (index_t i = 0; i < columns; ++i) {
                out[i] = from[i] - largest[i] - static_cast<T>(sum[i]);
            }
        }
    });
}

template <typename T>
void softmax_backward(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape.outer, classes, [&](index_t at) {
            const T mean = static_cast<T>(kernels.softmax.dot(classes, dy + at, y + at));
            kernels.softmax.scale_centred(classes, dy + at, y + at, mean, dx + at);
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* mean, double* sum) {
        std::fill_n(sum, columns, 0.0);
        for (index_t k = 0; k < classes; ++k) {
            const T *g = dy + at + k * inner, *out = y + at + k * inner;
            for (index_t i = 0; i < columns; ++i) sum[i] += static_cast<double>(g[i] * out[i]);
        }
        for (index_t i = 0; i < columns; ++i) mean[i] = static_cast<T>(sum[i]);
        for (index_t k = 0; k < classes; ++k) {
            const T *g = dy + at + k * inner, *out = y + at + k * inner;
            T* to = dx + at + k * inner;
            for (index_t i = 0; i < columns; ++i) to[i] = out[i] * (g[i] - mean[i]);
        }
    });
}

template <typename T>
void log_softmax_backward(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape.outer, classes, [&](index_t at) {
            const T total = static_cast<T>(kernels.elementwise.sum(classes, dy + at));
            kernels.softmax.exp(classes, y + at, dx + at);
            for (index_t k = at; k < at + classes; ++k) dx[k] = dy[k] - dx[k] * total;
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* total, double* sum) {
        std::fill_n(sum, columns, 0.0);
        for (index_t k = 0; k < classes; ++k) {
            const T* g = dy + at + k * inner;
            for (index_t i = 0; i < columns; ++i) sum[i] += static_cast<double>(g[i]);
        }
        for (index_t i = 0; i < columns; ++i) total[i] = static_cast<T>(sum[i]);
        for (index_t k = 0; k < classes; ++k) {
            const T* g = dy + at + k * inner;
            T* to = dx + at + k * inner;
            kernels.softmax.exp(columns, y + at + k * inner, to);
            for (index_t i = 0; i < columns; ++i) to[i] = g[i] - to[i] * total[i];
        }
    });
}

#define POCKETCNN_INSTANTIATE(T)                                              \
    template void softmax(const T*, const AxisShape&, T*);                    \
    template void log_softmax(const T*, const AxisShape&, T*);                \
    template void softmax_backward(const T*, const T*, const AxisShape&, T*); \
    template void log_softmax_backward(const T*, const T*, const AxisShape&, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
