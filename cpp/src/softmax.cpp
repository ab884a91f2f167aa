#include <pocketcnn/softmax.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// What an exponential costs beside a copied element.
constexpr double kTranscendental = 5;
/// Elements of a task; also the most columns that are taken together where the axis is not the
/// last one: a few rows of 4 KiB of each array then stay in the first cache.
constexpr index_t kGrain = 1 << 12;
constexpr index_t kColumns = 1024;

double size_of(const AxisShape& shape) {
    return static_cast<double>(shape.outer * shape.inner) * static_cast<double>(shape.classes);
}

/// Runs body(offset of the row) for every row of an array whose last axis is normalised.
template <typename Body>
void for_rows(const AxisShape& shape, Body&& body) {
    const index_t grain = std::max<index_t>(1, kGrain / shape.classes);
    parallel_ranges(shape.outer, grain, kTranscendental * static_cast<double>(shape.classes),
                    [&](index_t row, index_t end) {
                        for (; row < end; ++row) body(row * shape.classes);
                    });
}

/// Runs body(offset of the first element, columns, scratch for an element and for a sum a column)
/// for blocks of columns of an array that is normalised along an axis other than its last; elements
/// of one column are shape.inner apart.
template <typename T, typename Body>
void for_columns(const AxisShape& shape, Body&& body) {
    const index_t blocks = ceil_div(shape.inner, kColumns);
    parallel_for(shape.outer * blocks, kTranscendental * size_of(shape), [&](index_t i) {
        const Buffer<T> elements(kColumns);
        const Buffer<double> sums(kColumns);
        const index_t column = i % blocks * kColumns;
        body(i / blocks * shape.classes * shape.inner + column,
             std::min(kColumns, shape.inner - column), elements.data(), sums.data());
    });
}

/// y = exp(x - largest), and the largest element and the sum of y for each column. NaN spreads.
template <typename T>
void exp_columns(const Kernels<T>& kernel, const AxisShape& shape, const T* x, index_t columns,
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
        kernel.softmax.exp(columns, out, out);
        for (index_t i = 0; i < columns; ++i) sum[i] += static_cast<double>(out[i]);
    }
}

/// a - b, which may be farther apart than the largest float is from zero.
template <typename T>
double distance(T a, T b) {
    return static_cast<double>(a) - static_cast<double>(b);
}

/// Loss of one row and its gradient times `scale`. target(k) is class k's weight.
template <typename T, typename Target>
double row_cross_entropy(const Kernels<T>& kernel, const T* logits, index_t classes,
                         const Target& target, double scale, T* dlogits) {
    const T largest = kernel.softmax.largest(classes, logits);
    const double sum = kernel.softmax.exp_minus(classes, logits, largest, dlogits);
    const double log_sum = std::log(sum);
    double loss = 0, weight = 0;
    for (index_t k = 0; k < classes; ++k) {
        const double wanted = target(k);
        weight += wanted;
        // A class that nobody wants costs nothing, even at probability zero (log 0).
        if (wanted == 0) continue;
        loss -= wanted * (distance(logits[k], largest) - log_sum);
    }
    const double share = weight / sum;
    for (index_t k = 0; k < classes; ++k) {
        dlogits[k] = static_cast<T>(scale * (share * static_cast<double>(dlogits[k]) - target(k)));
    }
    return loss;
}

/// The same where the label's class alone has a weight.
template <typename T>
double row_label_cross_entropy(const Kernels<T>& kernel, const T* logits, index_t classes,
                               index_t label, double scale, T* dlogits) {
    const T largest = kernel.softmax.largest(classes, logits);
    const double sum = kernel.softmax.exp_minus(classes, logits, largest, dlogits);
    const double probability = static_cast<double>(dlogits[label]) / sum;
    kernel.softmax.scale(classes, dlogits, static_cast<T>(scale / sum), dlogits);
    dlogits[label] = static_cast<T>(scale * (probability - 1));
    return std::log(sum) - distance(logits[label], largest);
}

/// The mean of row_loss(row, scale of its gradient) over the rows.
template <typename T, typename RowLoss>
double mean_cross_entropy(MatrixView<const T> logits, const RowLoss& row_loss) {
    if (logits.rows < 1 || logits.cols < 1) {
        throw std::invalid_argument("logits is empty: a mean over no rows is undefined");
    }
    const double scale = 1.0 / static_cast<double>(logits.rows);
    const Buffer<double> losses(logits.rows);
    for_rows({logits.rows, logits.cols, 1}, [&](index_t at) {
        const index_t row = at / logits.cols;
        losses[row] = row_loss(row, scale);
    });
    double total = 0;
    for (index_t row = 0; row < logits.rows; ++row) total += losses[row];
    return total * scale;
}

/// With row_target(row, k), the weight of class k.
template <typename T, typename RowTarget>
double mean_weighted_cross_entropy(MatrixView<const T> logits, const RowTarget& row_target,
                                   T* dlogits) {
    const Kernels<T>& kernel = kernels<T>();
    return mean_cross_entropy(logits, [&](index_t row, double scale) {
        const index_t at = row * logits.cols;
        return row_cross_entropy(
            kernel, logits.data + at, logits.cols, [&](index_t k) { return row_target(row, k); },
            scale, dlogits + at);
    });
}

}  // namespace

template <typename T>
void softmax(const T* x, const AxisShape& shape, T* y) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape, [&](index_t at) {
            T* out = y + at;
            const double sum = kernel.softmax.exp_minus(
                classes, x + at, kernel.softmax.largest(classes, x + at), out);
            kernel.softmax.scale(classes, out, static_cast<T>(1 / sum), out);
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* largest, double* sum) {
        exp_columns(kernel, shape, x + at, columns, y + at, largest, sum);
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
    const Kernels<T>& kernel = kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape, [&](index_t at) {
            T* out = y + at;
            const T largest = kernel.softmax.largest(classes, x + at);
            const double sum = kernel.softmax.exp_minus(classes, x + at, largest, out);
            kernel.softmax.subtract(classes, x + at, largest, static_cast<T>(std::log(sum)), out);
        });
        return;
    }
    for_columns<T>(shape, [&](index_t at, index_t columns, T* largest, double* sum) {
        exp_columns(kernel, shape, x + at, columns, y + at, largest, sum);
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
void softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape, [&](index_t at) {
            const T mean = static_cast<T>(kernel.softmax.dot(classes, dy + at, y + at));
            kernel.softmax.scale_centred(classes, dy + at, y + at, mean, dx + at);
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
void log_softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    const Kernels<T>& kernel = kernels<T>();
    const index_t classes = shape.classes, inner = shape.inner;
    if (size_of(shape) == 0) return;
    if (inner == 1) {
        for_rows(shape, [&](index_t at) {
            const T total = static_cast<T>(kernel.elementwise.sum(classes, dy + at));
            kernel.softmax.exp(classes, y + at, dx + at);
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
            kernel.softmax.exp(columns, y + at + k * inner, to);
            for (index_t i = 0; i < columns; ++i) to[i] = g[i] - to[i] * total[i];
        }
    });
}

template <typename T>
double cross_entropy(MatrixView<const T> logits, const index_t* labels, double label_smoothing,
                     T* dlogits) {
    for (index_t row = 0; row < logits.rows; ++row) {
        if (labels[row] < 0 || labels[row] >= logits.cols) {
            throw std::invalid_argument("target[" + std::to_string(row) + "] is " +
                                        std::to_string(labels[row]) + ", outside the " +
                                        std::to_string(logits.cols) + " classes");
        }
    }
    if (label_smoothing == 0) {
        const Kernels<T>& kernel = kernels<T>();
        return mean_cross_entropy(logits, [&](index_t row, double scale) {
            const index_t at = row * logits.cols;
            return row_label_cross_entropy(kernel, logits.data + at, logits.cols, labels[row],
                                           scale, dlogits + at);
        });
    }
    const double rest = label_smoothing / static_cast<double>(logits.cols);
    return mean_weighted_cross_entropy(
        logits,
        [&](index_t row, index_t k) {
            return rest + (labels[row] == k ? 1.0 - label_smoothing : 0.0);
        },
        dlogits);
}

template <typename T>
double cross_entropy(MatrixView<const T> logits, const T* targets, double label_smoothing,
                     T* dlogits) {
    const double rest = label_smoothing / static_cast<double>(logits.cols);
    return mean_weighted_cross_entropy(
        logits,
        [&](index_t row, index_t k) {
            return rest +
                   (1.0 - label_smoothing) * static_cast<double>(targets[row * logits.cols + k]);
        },
        dlogits);
}

#define POCKETCNN_INSTANTIATE(T)                                                    \
    template void softmax(const T*, const AxisShape&, T*);                          \
    template void log_softmax(const T*, const AxisShape&, T*);                      \
    template void softmax_grad(const T*, const T*, const AxisShape&, T*);           \
    template void log_softmax_grad(const T*, const T*, const AxisShape&, T*);       \
    template double cross_entropy(MatrixView<const T>, const index_t*, double, T*); \
    template double cross_entropy(MatrixView<const T>, const T*, double, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
