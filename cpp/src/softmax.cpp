#include <pocketcnn/softmax.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// What an exponential costs beside a copied element.
constexpr double kTranscendental = 16;

/// One vector along the normalised axis.
template <typename T>
struct Strided {
    T* data;
    index_t stride;
    T& operator[](index_t i) const { return data[i * stride]; }
};

/// Runs body(offset of the first element) for every vector along the axis.
template <typename Body>
void for_vectors(const AxisShape& shape, Body&& body) {
    if (shape.classes == 0) return;
    const double work = kTranscendental * static_cast<double>(shape.outer * shape.inner) *
                        static_cast<double>(shape.classes);
    parallel_for(shape.outer, work, [&](index_t o) {
        for (index_t i = 0; i < shape.inner; ++i) {
            body(o * shape.classes * shape.inner + i);
        }
    });
}

/// The largest element (NaN where there is one, so that it spreads) and the logarithm of the sum
/// of exponentials relative to it.
template <typename T>
struct LogSum {
    T largest;
    double log_sum;
};

template <typename T>
LogSum<T> log_sum_exp(Strided<const T> x, index_t classes) {
    T largest = x[0];
    for (index_t k = 1; k < classes; ++k) {
        if (!(x[k] <= largest) && largest == largest) largest = x[k];
    }
    double sum = 0;
    for (index_t k = 0; k < classes; ++k) sum += static_cast<double>(std::exp(x[k] - largest));
    return {largest, std::log(sum)};
}

/// Loss of one row and its gradient times `scale`. target(k) is class k's weight.
template <typename T, typename Target>
double row_cross_entropy(const T* logits, index_t classes, const Target& target, double scale,
                         T* dlogits) {
    const LogSum<T> sum = log_sum_exp<T>({logits, 1}, classes);
    double loss = 0, weight = 0;
    for (index_t k = 0; k < classes; ++k) {
        const double log_probability = static_cast<double>(logits[k] - sum.largest) - sum.log_sum;
        const double wanted = target(k);
        // A class that nobody wants costs nothing, even at probability zero (log 0).
        if (wanted != 0) loss -= wanted * log_probability;
        weight += wanted;
    }
    for (index_t k = 0; k < classes; ++k) {
        const double log_probability = static_cast<double>(logits[k] - sum.largest) - sum.log_sum;
        dlogits[k] = static_cast<T>(
            scale *
            (weight * static_cast<double>(std::exp(static_cast<T>(log_probability))) - target(k)));
    }
    return loss;
}

template <typename T, typename RowTarget>
double mean_cross_entropy(MatrixView<const T> logits, const RowTarget& row_target, T* dlogits) {
    if (logits.rows < 1 || logits.cols < 1) {
        throw std::invalid_argument("logits is empty: a mean over no rows is undefined");
    }
    constexpr index_t grain = 32;
    const double scale = 1.0 / static_cast<double>(logits.rows);
    const Buffer<double> losses(logits.rows);
    parallel_ranges(logits.rows, grain, kTranscendental * static_cast<double>(logits.cols),
                    [&](index_t begin, index_t end) {
                        for (index_t row = begin; row < end; ++row) {
                            losses[row] = row_cross_entropy(
                                logits.data + row * logits.cols, logits.cols,
                                [&](index_t k) { return row_target(row, k); }, scale,
                                dlogits + row * logits.cols);
                        }
                    });
    double total = 0;
    for (index_t row = 0; row < logits.rows; ++row) total += losses[row];
    return total * scale;
}

}  // namespace

template <typename T>
void softmax(const T* x, const AxisShape& shape, T* y) {
    for_vectors(shape, [&](index_t at) {
        const Strided<const T> from{x + at, shape.inner};
        const Strided<T> to{y + at, shape.inner};
        const LogSum<T> sum = log_sum_exp(from, shape.classes);
        const T scale = static_cast<T>(std::exp(-sum.log_sum));
        for (index_t k = 0; k < shape.classes; ++k) to[k] = std::exp(from[k] - sum.largest) * scale;
    });
}

template <typename T>
void log_softmax(const T* x, const AxisShape& shape, T* y) {
    for_vectors(shape, [&](index_t at) {
        const Strided<const T> from{x + at, shape.inner};
        const Strided<T> to{y + at, shape.inner};
        const LogSum<T> sum = log_sum_exp(from, shape.classes);
        const T log_sum = static_cast<T>(sum.log_sum);
        for (index_t k = 0; k < shape.classes; ++k) to[k] = from[k] - sum.largest - log_sum;
    });
}

template <typename T>
void softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    for_vectors(shape, [&](index_t at) {
        const Strided<const T> g{dy + at, shape.inner}, out{y + at, shape.inner};
        const Strided<T> to{dx + at, shape.inner};
        double dot = 0;
        for (index_t k = 0; k < shape.classes; ++k) dot += static_cast<double>(g[k] * out[k]);
        for (index_t k = 0; k < shape.classes; ++k) to[k] = out[k] * (g[k] - static_cast<T>(dot));
    });
}

template <typename T>
void log_softmax_grad(const T* dy, const T* y, const AxisShape& shape, T* dx) {
    for_vectors(shape, [&](index_t at) {
        const Strided<const T> g{dy + at, shape.inner}, out{y + at, shape.inner};
        const Strided<T> to{dx + at, shape.inner};
        double total = 0;
        for (index_t k = 0; k < shape.classes; ++k) total += static_cast<double>(g[k]);
        for (index_t k = 0; k < shape.classes; ++k) {
            to[k] = g[k] - std::exp(out[k]) * static_cast<T>(total);
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
    const double rest = label_smoothing / static_cast<double>(logits.cols);
    return mean_cross_entropy(
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
    return mean_cross_entropy(
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
