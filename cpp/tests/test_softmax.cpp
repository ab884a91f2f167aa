// Softmax, its logarithm and the cross-entropy, on numbers of every size.
#include <pocketcnn/softmax.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "compare.h"
#include "guarded.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

/// One vector's softmax in long double.
struct Softmax {
    explicit Softmax(const std::vector<double>& x) : x(x), largest(x[0]) {
        for (const double value : x) largest = std::max(largest, value);
        long double sum = 0;
        for (const double value : x) sum += std::exp(static_cast<long double>(value) - largest);
        log_sum = std::log(sum);
        for (std::size_t k = 0; k < x.size(); ++k) {
            if (probability(k) > 0) spread += probability(k) * (largest - x[k]);
        }
    }
    double log_probability(std::size_t k) const {
        return static_cast<double>(static_cast<long double>(x[k]) - largest - log_sum);
    }
    double probability(std::size_t k) const {
        return static_cast<double>(std::exp(static_cast<long double>(x[k]) - largest - log_sum));
    }
    /// Error of log_probability(k) in epsilons of T: the rounded differences to the largest entry,
    /// that of k itself and those of the others as far as they count in the sum; a few more for
    /// the exponential, the logarithm and the sums.
    double epsilons(std::size_t k) const {
        return (largest - x[k]) + spread + std::abs(log_probability(k)) + 4;
    }

    std::vector<double> x;
    double largest, spread = 0;
    long double log_sum = 0;
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

const std::vector<std::vector<double>> kVectors = {
    {0},
    {1234},
    {0, 0},
    {1, 2, 3, 4},
    {-5, 5, 0.25, 0.25, -0.75, 3},
    {1e4, -1e4, 0},
    {1e30, 1e30, -1e30},
    {-1e30, -1e30, -1e30},
    {3e38, -3e38, 3e38},
    {80, -80, 20, 10, -30, 79},
    {-kInfinity, 0, 1},
    {-kInfinity, -1e30, -kInfinity},
    {1e-40, -1e-40, 0},
    {0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, -13, -14, -15, -16},
};

/// Puts the vector along the middle axis of (outer, classes, inner), other columns shifted by 1.
template <typename T>
struct Laid {
    Laid(const std::vector<double>& vector, index_t outer, index_t inner)
        : shape{outer, static_cast<index_t>(vector.size()), inner},
          x(outer * shape.classes * inner),
          columns(outer * inner, vector) {
        for (index_t column = 0; column < outer * inner; ++column) {
            for (index_t k = 0; k < shape.classes; ++k) {
                const T value = static_cast<T>(vector[k]) + static_cast<T>(column);
                columns[column][k] = static_cast<double>(value);
                x[place(column, k)] = value;
            }
        }
        x.freeze();
    }
    index_t place(index_t column, index_t k) const {
        return (column / shape.inner * shape.classes + k) * shape.inner + column % shape.inner;
    }

    AxisShape shape;
    Guarded<T> x;
    std::vector<std::vector<double>> columns;
};

template <typename T>
void check_softmax(const std::vector<double>& vector, index_t outer, index_t inner) {
    SCOPED_TRACE(::testing::PrintToString(vector));
    const Laid<T> laid(vector, outer, inner);
    const Guarded<T> y(laid.x.size()), log_y(laid.x.size());
    softmax(laid.x.data(), laid.shape, y.data());
    log_softmax(laid.x.data(), laid.shape, log_y.data());
    constexpr double eps = std::numeric_limits<T>::epsilon();
    for (index_t column = 0; column < outer * inner; ++column) {
        const Softmax wanted(laid.columns[column]);
        double sum = 0;
        for (index_t k = 0; k < laid.shape.classes; ++k) {
            const T probability = y[laid.place(column, k)];
            const double p = wanted.probability(k), log_p = wanted.log_probability(k);
            // p = 0 if the exponent is very small; 0 * infinity must not count as an error.
            const double relative = p > 0 ? wanted.epsilons(k) * eps : 0;
            // Below the smallest normal number a rounding errs by the smallest denormal.
            expect_near(probability, p,
                        relative * p + 2.0 * double(std::numeric_limits<T>::denorm_min()));
            expect_near(log_y[laid.place(column, k)], log_p,
                        std::isinf(log_p) ? 0 : wanted.epsilons(k) * eps);
            sum += static_cast<double>(probability);
        }
        EXPECT_NEAR(sum, 1, double(laid.shape.classes + 4) * (1 + wanted.spread) * eps);
    }
    EXPECT_TRUE(y.margins_intact());
    EXPECT_TRUE(log_y.margins_intact());
}

TEST(Softmax, EveryAxisAndExtreme) {
    for_every_isa([] {
        for (const std::vector<double>& vector : kVectors) {
            for (const index_t outer : {1, 3}) {
                for (const index_t inner : {1, 5}) {
                    check_softmax<float>(vector, outer, inner);
                    check_softmax<double>(vector, outer, inner);
                }
            }
        }
    });
}

TEST(Softmax, SharedByThreads) {
    Random random("softmax");
    std::vector<double> vector(1000);
    for (double& value : vector) value = random.uniform(-9, 9);
    check_softmax<float>(vector, 20, 2);
    check_softmax<double>(vector, 20, 2);
}

TEST(Softmax, NanSpreads) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const std::vector<float>& x :
         {std::vector<float>{nan, 1, 2}, {1, nan, 2}, {2, 1, nan}, {nan, nan, nan}}) {
        std::vector<float> y(3);
        softmax(x.data(), {1, 3, 1}, y.data());
        for (const float value : y) EXPECT_TRUE(std::isnan(value));
        log_softmax(x.data(), {1, 3, 1}, y.data());
        for (const float value : y) EXPECT_TRUE(std::isnan(value));
    }
}

TEST(Softmax, NothingAtAll) {
    softmax<float>(nullptr, {0, 3, 1}, nullptr);
    log_softmax<float>(nullptr, {3, 4, 0}, nullptr);
    softmax_backward<float>(nullptr, nullptr, {0, 3, 1}, nullptr);
}

/// Compares dx with its formula: sums of `classes` products, weighted by their factors.
template <typename T>
void check_gradients(const AxisShape& shape) {
    const index_t size = shape.outer * shape.classes * shape.inner;
    Random random("softmax gradient");
    Guarded<T> dy(size), y(size);
    random.fill(dy);
    random.fill(y, 0, 1);
    dy.freeze();
    y.freeze();
    const Guarded<T> dx(size), log_dx(size);
    softmax_backward(dy.data(), y.data(), shape, dx.data());
    log_softmax_backward(dy.data(), y.data(), shape, log_dx.data());
    for (index_t i = 0; i < size; ++i) {
        const index_t first =
            i / (shape.classes * shape.inner) * shape.classes * shape.inner + i % shape.inner;
        Sum dot, total;
        for (index_t k = 0; k < shape.classes; ++k) {
            const index_t at = first + k * shape.inner;
            dot.add(double(dy[at]) * double(y[at]));
            total.add(double(dy[at]));
        }
        const double out = double(y[i]), eps = std::numeric_limits<T>::epsilon();
        const double terms = static_cast<double>(shape.classes + 4);
        expect_near(dx[i], out * (double(dy[i]) - dot.value),
                    terms * eps * out * (std::abs(double(dy[i])) + dot.magnitude));
        expect_near(log_dx[i], double(dy[i]) - std::exp(out) * total.value,
                    terms * eps * (std::abs(double(dy[i])) + std::exp(out) * total.magnitude));
    }
    EXPECT_TRUE(dx.margins_intact());
    EXPECT_TRUE(log_dx.margins_intact());
}

TEST(Softmax, Gradients) {
    for_every_isa([] {
        for (const AxisShape& shape :
             {AxisShape{1, 1, 1}, {3, 10, 1}, {2, 7, 5}, {1, 33, 4}, {150, 100, 1}}) {
            check_gradients<float>(shape);
            check_gradients<double>(shape);
        }
    });
}

/// No classes: there is nothing to read, and nothing to write.
TEST(Softmax, NoClasses) {
    const Guarded<float> x(0), y(0);
    softmax<float>(x.data(), {3, 0, 2}, y.data());
    log_softmax<float>(x.data(), {3, 0, 2}, y.data());
    softmax_backward<float>(x.data(), x.data(), {3, 0, 2}, y.data());
    log_softmax_backward<float>(x.data(), x.data(), {3, 0, 2}, y.data());
    EXPECT_TRUE(y.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
