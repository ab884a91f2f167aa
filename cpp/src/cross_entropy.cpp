#include <pocketcnn/cross_entropy.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "exponential_rows.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn {
namespace {

/// a - b, in double because the difference may overflow a float.
template <typename T>
double distance(T a, T b) {
    return static_cast<double>(a) - static_cast<double>(b);
}

/// Loss of one row and its gradient times `scale`. target(k) is class k's weight.
template <typename T, typename Target>
double row_cross_entropy(const Kernels<T>& kernels, const T* logits, index_t classes,
                         const Target& target, double scale, T* dlogits) {
    const T largest = kernels.softmax.largest(classes, logits);
    const double sum = kernels.softmax.exp_minus(classes, logits, largest, dlogits);
    const double log_sum = std::log(sum);
    double loss = 0, weight = 0;
    for (index_t k = 0; k < classes; ++k) {
        const double wanted = target(k);
        weight += wanted;
        // A class of weight zero costs nothing, even at probability zero (log 0).
        if (wanted == 0) continue;
        loss -= wanted * (distance(logits[k], largest) - log_sum);
    }
    const double share = weight / sum;
    for (index_t k = 0; k < classes; ++k) {
        dlogits[k] = static_cast<T>(scale * (share * static_cast<double>(dlogits[k]) - target(k)));
    }
    return loss;
}

/// The same if only the label's class has a weight.
template <typename T>
double row_label_cross_entropy(const Kernels<T>& kernels, const T* logits, index_t classes,
                               index_t label, double scale, T* dlogits) {
    const T largest = kernels.softmax.largest(classes, logits);
    const double sum = kernels.softmax.exp_minus(classes, logits, largest, dlogits);
    const double probability = static_cast<double>(dlogits[label]) / sum;
    kernels.softmax.scale(classes, dlogits, static_cast<T>(scale / sum), dlogits);
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
    for_rows(logits.rows, logits.cols, [&](index_t at) {
        const index_t row = at / logits.cols;
        losses[row] = row_loss(row, scale);
    });
    double total = 0;
    for (index_t row = 0; row < logits.rows; ++row) total += losses[row];
    return total * scale;
}

/// row_target(row, k) is the weight of class k.
template <typename T, typename RowTarget>
double mean_weighted_cross_entropy(MatrixView<const T> logits, const RowTarget& row_target,
                                   T* dlogits) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    return mean_cross_entropy(logits, [&](index_t row, double scale) {
        const index_t at = row * logits.cols;
        return row_cross_entropy(
            kernels, logits.data + at, logits.cols, [&](index_t k) { return row_target(row, k); },
            scale, dlogits + at);
    });
}

}  // namespace

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
        const Kernels<T>& kernels = pocketcnn::kernels<T>();
        return mean_cross_entropy(logits, [&](index_t row, double scale) {
            const index_t at = row * logits.cols;
            return row_label_cross_entropy(kernels, logits.data + at, logits.cols, labels[row],
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
    template double cross_entropy(MatrixView<const T>, const index_t*, double, T*); \
    template double cross_entropy(MatrixView<const T>, const T*, double, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
