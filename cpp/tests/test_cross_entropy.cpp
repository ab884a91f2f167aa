// The mean cross-entropy of logits and its gradient.
#include <pocketcnn/cross_entropy.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

/// Loss and gradient from the definition, for rows of target weights, with the magnitudes that
/// scale their errors.
struct CrossEntropy {
    template <typename T>
    CrossEntropy(const T* logits, const std::vector<double>& targets, index_t rows, index_t cols)
        : gradient(rows * cols), gradient_magnitude(rows * cols) {
        for (index_t row = 0; row < rows; ++row) {
            const T* x = logits + row * cols;
            const double* target = targets.data() + row * cols;
            double largest = -std::numeric_limits<double>::infinity(), sum = 0, weight = 0;
            for (index_t k = 0; k < cols; ++k) largest = std::max(largest, double(x[k]));
            for (index_t k = 0; k < cols; ++k) sum += std::exp(double(x[k]) - largest);
            for (index_t k = 0; k < cols; ++k) weight += target[k];
            for (index_t k = 0; k < cols; ++k) {
                const double log_p = double(x[k]) - largest - std::log(sum);
                const double p = std::exp(log_p), n = static_cast<double>(rows);
                const index_t i = row * cols + k;
                if (target[k] != 0) {
                    loss -= target[k] * log_p / n;
                    // The differences to the largest logit are rounded, and the exponentials.
                    loss_magnitude += std::abs(target[k]) * (2 * (largest - x[k]) + 4) / n;
                }
                gradient[i] = (weight * p - target[k]) / n;
                const double exponent = p > 0 ? 2 * (largest - x[k]) + 8 : 0;
                gradient_magnitude[i] = (std::abs(weight) * p * exponent + std::abs(target[k])) / n;
            }
        }
    }

    double loss = 0, loss_magnitude = 0;
    std::vector<double> gradient, gradient_magnitude;
};

template <typename T>
void expect_cross_entropy(double loss, const Guarded<T>& gradient, const CrossEntropy& wanted) {
    // Sums over the classes and rows are taken in double.
    const double eps =
        std::numeric_limits<T>::epsilon() +
        static_cast<double>(gradient.size()) * std::numeric_limits<double>::epsilon();
    expect_near(loss, wanted.loss, eps * wanted.loss_magnitude);
    for (index_t i = 0; i < gradient.size(); ++i) {
        expect_near(
            gradient[i], wanted.gradient[i],
            eps * wanted.gradient_magnitude[i] + double(std::numeric_limits<T>::denorm_min()));
    }
    EXPECT_TRUE(gradient.margins_intact());
}

template <typename T>
void check(index_t rows, index_t cols, double scale, double smoothing) {
    SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(cols) + " classes");
    Random random("cross-entropy");
    Guarded<T> logits(rows * cols), weights(rows * cols);
    Guarded<index_t> labels(rows);
    random.fill(logits, -scale, scale);
    random.fill(weights, 0, 1);
    for (index_t& label : labels) label = random.below(cols);
    logits.freeze();
    weights.freeze();
    labels.freeze();

    std::vector<double> onehot(rows * cols, smoothing / double(cols)), smoothed = onehot;
    for (index_t row = 0; row < rows; ++row) onehot[row * cols + labels[row]] += 1 - smoothing;
    for (index_t i = 0; i < weights.size(); ++i) smoothed[i] += (1 - smoothing) * weights[i];

    const Guarded<T> gradient(rows * cols), gradient_of_weights(rows * cols);
    const double loss =
        cross_entropy<T>({logits.data(), rows, cols}, labels.data(), smoothing, gradient.data());
    expect_cross_entropy(loss, gradient, CrossEntropy(logits.data(), onehot, rows, cols));
    const double loss_of_weights = cross_entropy<T>({logits.data(), rows, cols}, weights.data(),
                                                    smoothing, gradient_of_weights.data());
    expect_cross_entropy(loss_of_weights, gradient_of_weights,
                         CrossEntropy(logits.data(), smoothed, rows, cols));
}

TEST(CrossEntropy, AgainstItsDefinition) {
    for_every_isa([] {
        for (const double smoothing : {0.0, 0.1, 1.0}) {
            for (const index_t rows : {1, 2, 31, 33, 100}) {
                for (const index_t cols : {1, 2, 10, 17}) {
                    for (const double scale : {1e-3, 5.0, 300.0}) {
                        check<float>(rows, cols, scale, smoothing);
                        check<double>(rows, cols, scale, smoothing);
                    }
                }
            }
        }
        check<float>(40, 1000, 5, 0.1);
    });
}

TEST(CrossEntropy, HugeLogitsDoNotOverflow) {
    const float logits[] = {3e38F, -3e38F, 0};
    float gradient[3];
    index_t label = 0;
    EXPECT_EQ(cross_entropy<float>({logits, 1, 3}, &label, 0, gradient), 0);
    EXPECT_EQ(gradient[0], 0);
    EXPECT_EQ(gradient[1], 0);
    label = 2;
    EXPECT_FLOAT_EQ(static_cast<float>(cross_entropy<float>({logits, 1, 3}, &label, 0, gradient)),
                    3e38F);
    EXPECT_EQ(gradient[0], 1);
    EXPECT_EQ(gradient[2], -1);
}

/// A class of probability zero costs nothing if its target weight is zero.
TEST(CrossEntropy, ImpossibleClass) {
    const float infinity = std::numeric_limits<float>::infinity();
    const float logits[] = {-infinity, 0};
    float gradient[2];
    index_t label = 1;
    EXPECT_EQ(cross_entropy<float>({logits, 1, 2}, &label, 0, gradient), 0);
    EXPECT_EQ(gradient[0], 0);
    EXPECT_EQ(gradient[1], 0);
    label = 0;
    EXPECT_EQ(cross_entropy<float>({logits, 1, 2}, &label, 0, gradient), infinity);
}

TEST(CrossEntropy, RefusesLabelsOutsideTheClasses) {
    const float logits[6] = {};
    const Guarded<float> gradient(6);
    for (const index_t bad : {index_t{-1}, index_t{3}, std::numeric_limits<index_t>::max()}) {
        const index_t labels[] = {0, bad};
        EXPECT_THROW(cross_entropy<float>({logits, 2, 3}, labels, 0, gradient.data()),
                     std::invalid_argument);
    }
    EXPECT_TRUE(gradient.untouched());
}

TEST(CrossEntropy, RefusesAnEmptyBatch) {
    const index_t* no_labels = nullptr;
    const float* no_targets = nullptr;
    EXPECT_THROW(cross_entropy<float>({nullptr, 0, 3}, no_labels, 0, nullptr),
                 std::invalid_argument);
    EXPECT_THROW(cross_entropy<float>({nullptr, 0, 3}, no_targets, 0, nullptr),
                 std::invalid_argument);
    EXPECT_THROW(cross_entropy<float>({nullptr, 3, 0}, no_targets, 0, nullptr),
                 std::invalid_argument);
}

}  // namespace
}  // namespace pocketcnn::tests
