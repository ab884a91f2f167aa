// Activations and their gradients, also at their extremes.
#include <pocketcnn/activation.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

class ActivationTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(ActivationTest);

constexpr Activation kActivations[] = {Activation::relu, Activation::sigmoid, Activation::tanh};
/// Lengths around a vector's, a few vectors', and the range that a thread takes at a time.
constexpr index_t kLengths[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 16383, 16385, 140001};

double value_of(Activation f, double x) {
    switch (f) {
        case Activation::relu:
            return std::isnan(x) ? x : std::max(x, 0.0);
        case Activation::sigmoid:
            return 1 / (1 + std::exp(-x));
        case Activation::tanh:
            return std::tanh(x);
    }
    return 0;
}

double slope_of(Activation f, double y) {
    switch (f) {
        case Activation::relu:
            return y > 0 ? 1 : 0;
        case Activation::sigmoid:
            return y * (1 - y);
        case Activation::tanh:
            return 1 - y * y;
    }
    return 0;
}

/// An exponential and a division, each good to an epsilon or two; results near zero may lose
/// bits to denormal numbers. Rectifying is exact.
template <typename T>
double allowed(Activation f, double wanted) {
    if (f == Activation::relu) return 0;
    return 4 * std::numeric_limits<T>::epsilon() * std::abs(wanted) +
           std::numeric_limits<T>::denorm_min();
}

template <typename T>
void check_forward(Activation f, index_t size, Edge edge) {
    Random random("activation");
    Guarded<T> x(size, edge);
    random.fill(x, -9, 9);
    x.freeze();
    const Guarded<T> y(size, edge), in_place(size, edge);
    activate(f, x.data(), y.data(), size);
    for (index_t i = 0; i < size; ++i) {
        const double wanted = value_of(f, double(x[i]));
        expect_near(y[i], wanted, allowed<T>(f, wanted));
    }
    EXPECT_TRUE(y.margins_intact());

    std::copy(x.begin(), x.end(), in_place.begin());
    activate(f, in_place.data(), in_place.data(), size);
    EXPECT_TRUE(same_bits(in_place.copy(), y.copy()));
}

/// dx = dy * slope(y): the slope has a product and a difference of numbers up to one.
template <typename T>
void check_gradient(Activation f, index_t size, Edge edge) {
    Random random("gradient");
    const RandomArray<T> dy(random, size, edge), y(random, size, edge);
    const Guarded<T> dx(size, edge);
    activate_backward(f, dy.data(), y.data(), dx.data(), size);
    for (index_t i = 0; i < size; ++i) {
        const double wanted = double(dy[i]) * slope_of(f, double(y[i]));
        expect_near(dx[i], wanted, 4 * std::numeric_limits<T>::epsilon() * std::abs(double(dy[i])));
    }
    EXPECT_TRUE(dx.margins_intact());
}

TEST_P(ActivationTest, Lengths) {
    for (const Activation f : kActivations) {
        for (const index_t size : kLengths) {
            for (const Edge edge : kEdges) {
                if (size > 1000 && edge == Edge::front) continue;
                check_forward<float>(f, size, edge);
                check_forward<double>(f, size, edge);
                check_gradient<float>(f, size, edge);
                check_gradient<double>(f, size, edge);
            }
        }
    }
}

template <typename T>
void check_extremes() {
    using limits = std::numeric_limits<T>;
    const T extremes[] = {0,
                          T{-0.0},
                          limits::denorm_min(),
                          -limits::denorm_min(),
                          limits::min(),
                          30,
                          -30,
                          90,
                          -90,
                          1000,
                          -1000,
                          limits::max(),
                          limits::lowest(),
                          limits::infinity(),
                          -limits::infinity(),
                          limits::quiet_NaN()};
    for (const Activation f : kActivations) {
        for (const T x : extremes) {
            // In a whole vector, and alone.
            for (const index_t size : {1, 64}) {
                const std::vector<T> in(size, x);
                std::vector<T> out(size);
                activate(f, in.data(), out.data(), size);
                const double wanted = value_of(f, double(x));
                for (const T y : out) expect_near(y, wanted, allowed<T>(f, wanted));
            }
        }
    }
}

/// Over all magnitudes: results within 2 roundings of the last bit, 3 where products are rounded
/// before they are added (no fused multiply-add in the baseline of x86-64).
template <typename T>
void check_accuracy(double roundings) {
    Random random("accuracy");
    for (const Activation f : {Activation::sigmoid, Activation::tanh}) {
        constexpr index_t size = 20000;
        std::vector<T> x(size), y(size);
        for (T& value : x) {
            value = static_cast<T>(random.uniform(-1, 1) * std::pow(10, random.uniform(-6, 1.9)));
        }
        activate(f, x.data(), y.data(), size);
        for (index_t i = 0; i < size; ++i) {
            const auto exact = static_cast<long double>(x[i]);
            const long double wanted =
                f == Activation::tanh ? std::tanh(exact) : 1 / (1 + std::exp(-exact));
            const T nearest = std::abs(static_cast<T>(wanted));
            const T unit = std::nextafter(nearest, std::numeric_limits<T>::max()) - nearest;
            ASSERT_LE(std::abs(static_cast<long double>(y[i]) - wanted), roundings * unit)
                << "of " << x[i];
        }
    }
}

TEST_P(ActivationTest, Accuracy) {
    const double roundings = GetParam() == "baseline" ? 3 : 2;
    check_accuracy<float>(roundings);
    check_accuracy<double>(roundings);
}

TEST_P(ActivationTest, Extremes) {
    check_extremes<float>();
    check_extremes<double>();
}

TEST_P(ActivationTest, AddsAndRectifies) {
    Random random("add");
    for (const index_t size : {0, 1, 17, 65}) {
        const RandomArray<float> a(random, size), b(random, size);
        const Guarded<float> sum(size), rectified(size), wanted(size);
        add(a.data(), b.data(), false, sum.data(), size);
        add(a.data(), b.data(), true, rectified.data(), size);
        for (index_t i = 0; i < size; ++i) EXPECT_EQ(sum[i], a[i] + b[i]);
        activate(Activation::relu, sum.data(), wanted.data(), size);
        EXPECT_TRUE(same_bits(rectified.copy(), wanted.copy()));
        EXPECT_TRUE(rectified.margins_intact());
    }
}

TEST_P(ActivationTest, RectifiedZeroHasNoGradient) {
    const float dy[] = {5, 5, 5, 5};
    const float y[] = {0, -0.0F, 1, std::numeric_limits<float>::denorm_min()};
    float dx[4];
    activate_backward(Activation::relu, dy, y, dx, 4);
    EXPECT_EQ(dx[0], 0);
    EXPECT_EQ(dx[1], 0);
    EXPECT_EQ(dx[2], 5);
    EXPECT_EQ(dx[3], 5);
}

}  // namespace
}  // namespace pocketcnn::tests
