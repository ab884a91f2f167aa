// Activations and their gradients, also at their extremes, and dropout.
#include <pocketcnn/activation.h>
#include <pocketcnn/dropout.h>
#include <pocketcnn/prelu.h>

#include <cmath>
#include <limits>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

class ActivationTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(ActivationTest);

constexpr double kParameter = 0.25;
/// Lengths around a vector's, a few vectors', and the range that a thread takes at a time.
constexpr index_t kLengths[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 16383, 16385, 140001};

template <typename Body>
void for_activations(const Body& body) {
    for (int f = 0; f < kActivations; ++f) body(static_cast<Activation>(f));
}

using Real = long double;

Real clipped(Real x, Real limit) {
    return std::isnan(x) ? x : std::min(std::max(x, Real{0}), limit);
}

Real sigmoid_of(Real x) {
    return 1 / (1 + std::exp(-x));
}

/// The u of gelu_tanh = x sigmoid(u).
Real tanh_argument(Real x) {
    return 2 * std::sqrt(Real{2} / std::acos(Real{-1})) * (x + Real{44715} / 1000000 * x * x * x);
}

Real normal_below(Real x) {
    return std::erfc(-x / std::sqrt(Real{2})) / 2;
}

Real share_of(Activation f, Real x) {
    switch (f) {
        case Activation::silu:
            return sigmoid_of(x);
        case Activation::gelu:
            return normal_below(x);
        case Activation::gelu_tanh:
            return sigmoid_of(tanh_argument(x));
        default:
            return clipped(x + 3, 6) / 6;
    }
}

Real value_of(Activation f, Real x) {
    switch (f) {
        case Activation::relu:
            return std::isnan(x) ? x : std::max(x, Real{0});
        case Activation::sigmoid:
            return sigmoid_of(x);
        case Activation::tanh:
            return std::tanh(x);
        case Activation::leaky_relu:
            return x <= 0 ? kParameter * x : x;
        case Activation::elu:
            return x <= 0 ? kParameter * std::expm1(x) : x;
        case Activation::relu6:
            return clipped(x, 6);
        case Activation::hard_sigmoid:
            return clipped(x + 3, 6) / 6;
        default:
            return std::isinf(x) && x < 0 ? 0 : x * share_of(f, x);
    }
}

/// Of x, or of y where that is what the gradient is computed from.
Real slope_of(Activation f, Real kept) {
    const Real share = gradient_takes_input(f) ? share_of(f, kept) : 0;
    switch (f) {
        case Activation::relu:
            return kept > 0 ? 1 : 0;
        case Activation::sigmoid:
            return kept * (1 - kept);
        case Activation::tanh:
            return 1 - kept * kept;
        case Activation::leaky_relu:
            return kept <= 0 ? kParameter : 1;
        case Activation::elu:
            return kept <= 0 ? kept + kParameter : 1;
        case Activation::relu6:
            return kept > 0 && kept < 6 ? 1 : 0;
        case Activation::hard_sigmoid:
            return kept > 0 && kept < 1 ? Real{1} / 6 : 0;
        case Activation::silu:
            return share + kept * share * (1 - share);
        case Activation::gelu:
            return share + kept * std::exp(-kept * kept / 2) / std::sqrt(2 * std::acos(Real{-1}));
        case Activation::gelu_tanh:
            return share + share * (1 - share) *
                               (3 * tanh_argument(kept) -
                                2 * kept * 2 * std::sqrt(Real{2} / std::acos(Real{-1})));
        case Activation::hard_swish:
            return kept <= -3 ? 0 : (kept >= 3 ? 1 : kept / 3 + Real{0.5});
    }
    return 0;
}

/// An exponential and a division, each good to an epsilon or two, and few products; results near
/// zero may lose bits to denormal numbers. Clipping is exact.
template <typename T>
double allowed(Activation f, Real wanted) {
    if (f == Activation::relu || f == Activation::relu6) return 0;
    return static_cast<double>(5 * std::numeric_limits<T>::epsilon() * std::abs(wanted) +
                               std::numeric_limits<T>::denorm_min());
}

template <typename T>
void check_forward(Activation f, index_t size, Edge edge) {
    Random random("activation");
    Guarded<T> x(size, edge);
    random.fill(x, -12, 12);
    x.freeze();
    const Guarded<T> y(size, edge), in_place(size, edge);
    activate(f, x.data(), y.data(), size, kParameter);
    for (index_t i = 0; i < size; ++i) {
        const Real wanted = value_of(f, x[i]);
        expect_near(y[i], static_cast<double>(wanted), allowed<T>(f, wanted));
    }
    EXPECT_TRUE(y.margins_intact());

    std::copy(x.begin(), x.end(), in_place.begin());
    activate(f, in_place.data(), in_place.data(), size, kParameter);
    EXPECT_TRUE(same_bits(in_place.copy(), y.copy()));
}

/// dx = dy * slope: a few products and sums of numbers that are hardly larger than one.
template <typename T>
void check_gradient(Activation f, index_t size, Edge edge) {
    Random random("gradient");
    const RandomArray<T> dy(random, size, edge);
    Guarded<T> kept(size, edge);
    random.fill(kept, -12, 12);
    if (f == Activation::sigmoid || f == Activation::tanh) random.fill(kept, -1, 1);
    kept.freeze();
    const Guarded<T> dx(size, edge);
    activate_backward(f, dy.data(), kept.data(), dx.data(), size, kParameter);
    for (index_t i = 0; i < size; ++i) {
        const Real slope = slope_of(f, kept[i]);
        const double scale = std::abs(double(dy[i])) * std::max(2.0, std::abs(double(slope)));
        expect_near(dx[i], static_cast<double>(dy[i] * slope),
                    3 * std::numeric_limits<T>::epsilon() * scale);
    }
    EXPECT_TRUE(dx.margins_intact());
}

TEST_P(ActivationTest, Lengths) {
    for_activations([](Activation f) {
        for (const index_t size : kLengths) {
            for (const Edge edge : kEdges) {
                if (size > 1000 && (edge == Edge::front || f > Activation::tanh)) continue;
                check_forward<float>(f, size, edge);
                check_forward<double>(f, size, edge);
                check_gradient<float>(f, size, edge);
                check_gradient<double>(f, size, edge);
            }
        }
    });
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
    for_activations([&](Activation f) {
        for (const T x : extremes) {
            // In a whole vector, and alone.
            for (const index_t size : {1, 64}) {
                const std::vector<T> in(size, x);
                std::vector<T> out(size);
                activate(f, in.data(), out.data(), size, kParameter);
                const Real wanted = value_of(f, x);
                const double near = static_cast<double>(wanted);
                for (const T y : out) expect_near(y, near, allowed<T>(f, wanted));
            }
        }
    });
}

/// Over all magnitudes, and on the left down to where results round to zero: within so many units
/// of the last bit.
template <typename T>
void check_accuracy(Activation f, double units) {
    Random random("accuracy");
    constexpr index_t size = 20000;
    std::vector<T> x(size), y(size);
    for (T& value : x) {
        value = static_cast<T>(random.uniform(-1, 1) * std::pow(10, random.uniform(-6, 2.9)));
    }
    activate(f, x.data(), y.data(), size, kParameter);
    for (index_t i = 0; i < size; ++i) {
        const Real wanted = value_of(f, x[i]);
        const T nearest = std::abs(static_cast<T>(wanted));
        const T unit = std::nextafter(nearest, std::numeric_limits<T>::max()) - nearest;
        ASSERT_LE(std::abs(static_cast<Real>(y[i]) - wanted), units * unit)
            << static_cast<int>(f) << " of " << x[i];
    }
}

/// One more where products are rounded before they are added (no fused multiply-add in the baseline
/// of x86-64).
TEST_P(ActivationTest, Accuracy) {
    const double more = GetParam() == "baseline" ? 1 : 0;
    for (const Activation f : {Activation::sigmoid, Activation::tanh, Activation::elu}) {
        check_accuracy<float>(f, 2 + more);
        check_accuracy<double>(f, 2 + more);
    }
    for (const Activation f : {Activation::silu, Activation::gelu_tanh}) {
        check_accuracy<float>(f, 3 + more);
        check_accuracy<double>(f, 3 + more);
    }
    check_accuracy<float>(Activation::gelu, 6);
    check_accuracy<double>(Activation::gelu, 6);
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
        const Guarded<float> total(size);
        std::copy(a.begin(), a.end(), total.begin());
        add_to(b.data(), total.data(), size);
        for (index_t i = 0; i < size; ++i) EXPECT_EQ(total[i], a[i] + b[i]);
        EXPECT_TRUE(total.margins_intact());
    }
}

/// Gradients far out, where the slope is zero or one, and of NaN.
template <typename T>
void check_far_gradients() {
    constexpr T huge = std::numeric_limits<T>::max();
    constexpr T infinity = std::numeric_limits<T>::infinity();
    for_activations([&](Activation f) {
        if (!gradient_takes_input(f)) return;
        const T dy[] = {5, 5, 5, 5, 5};
        const T x[] = {-infinity, -huge, huge, infinity, std::numeric_limits<T>::quiet_NaN()};
        T dx[5];
        activate_backward(f, dy, x, dx, 5);
        for (const int i : {0, 1}) EXPECT_EQ(dx[i], 0) << static_cast<int>(f);
        for (const int i : {2, 3}) EXPECT_EQ(dx[i], 5) << static_cast<int>(f);
        EXPECT_TRUE(std::isnan(dx[4])) << static_cast<int>(f);
    });
}

TEST_P(ActivationTest, FarGradients) {
    check_far_gradients<float>();
    check_far_gradients<double>();
}

TEST_P(ActivationTest, GradientsAtKinks) {
    const float dy[] = {6, 6};
    float dx[2];
    const auto gradients = [&](Activation f, float first, float second) {
        const float kept[] = {first, second};
        activate_backward(f, dy, kept, dx, 2, 0.5);
    };
    gradients(Activation::leaky_relu, 0, -0.0F);
    EXPECT_EQ(dx[0], 3);
    EXPECT_EQ(dx[1], 3);
    gradients(Activation::elu, 0, -0.5F);
    EXPECT_EQ(dx[0], 3);
    EXPECT_EQ(dx[1], 0);
    gradients(Activation::relu6, 0, 6);
    EXPECT_EQ(dx[0], 0);
    EXPECT_EQ(dx[1], 0);
    gradients(Activation::hard_sigmoid, 0, 1);
    EXPECT_EQ(dx[0], 0);
    EXPECT_EQ(dx[1], 0);
    gradients(Activation::hard_swish, -3, 3);
    EXPECT_EQ(dx[0], 0);
    EXPECT_EQ(dx[1], 6);
}

template <typename T>
void check_prelu(const ChannelShape& shape, Edge edge) {
    Random random("prelu");
    const index_t size = shape.size();
    const RandomArray<T> x(random, size, edge), dy(random, size, edge);
    const RandomArray<T> slopes(random, shape.channels, edge);
    const Guarded<T> y(size, edge), dx(size, edge), dslopes(shape.channels, edge);
    prelu(x.data(), shape, slopes.data(), y.data());
    prelu_backward(dy.data(), x.data(), shape, slopes.data(), dx.data(), dslopes.data());
    std::vector<double> sums(shape.channels), scales(shape.channels);
    for (index_t i = 0; i < size; ++i) {
        const index_t c = i / shape.plane % shape.channels;
        EXPECT_EQ(y[i], x[i] <= 0 ? slopes[c] * x[i] : x[i]);
        EXPECT_EQ(dx[i], x[i] <= 0 ? slopes[c] * dy[i] : dy[i]);
        if (x[i] > 0) continue;
        sums[c] += double(dy[i]) * double(x[i]);
        scales[c] += std::abs(double(dy[i]) * double(x[i]));
    }
    for (index_t c = 0; c < shape.channels; ++c) {
        expect_near(dslopes[c], sums[c], 8 * std::numeric_limits<T>::epsilon() * scales[c]);
    }
    EXPECT_TRUE(y.margins_intact() && dx.margins_intact() && dslopes.margins_intact());
}

TEST_P(ActivationTest, Prelu) {
    const ChannelShape shapes[] = {{1, 1, 0},     {1, 1, 1}, {0, 3, 5},    {2, 3, 1},
                                   {3, 2, 7},     {2, 5, 8}, {4, 3, 65},   {1, 1, 40001},
                                   {2, 2, 16385}, {7, 1, 3}, {300, 70, 1}, {2, 3, 0}};
    for (const ChannelShape& shape : shapes) {
        for (const Edge edge : kEdges) {
            check_prelu<float>(shape, edge);
            check_prelu<double>(shape, edge);
        }
    }
}

template <typename T>
void check_dropout(index_t size, Edge edge) {
    Random random("dropout");
    const RandomArray<T> x(random, size, edge);
    const RandomArray<float> draws(random, size, edge);
    const Guarded<T> y(size, edge), mask(size, edge);
    constexpr float p = 0.25F;
    constexpr T scale = T{4} / 3;
    dropout(x.data(), draws.data(), p, scale, y.data(), mask.data(), size);
    for (index_t i = 0; i < size; ++i) {
        EXPECT_EQ(y[i], draws[i] >= p ? x[i] * scale : T{0});
        EXPECT_EQ(mask[i], draws[i] >= p ? scale : T{0});
    }
    EXPECT_TRUE(y.margins_intact() && mask.margins_intact());
}

TEST_P(ActivationTest, Dropout) {
    for (const index_t size : kLengths) {
        for (const Edge edge : kEdges) {
            check_dropout<float>(size, edge);
            check_dropout<double>(size, edge);
        }
    }
}

TEST_P(ActivationTest, WhatIsDroppedIsZeroWhateverItWas) {
    constexpr double infinite = std::numeric_limits<double>::infinity();
    const double x[] = {infinite, std::nan(""), infinite, 3, -0.0};
    const float draws[] = {0, 0.25F, 0.5F, 0.75F, 0.499999F};
    double y[5], mask[5];
    dropout(x, draws, 0.5F, 2.0, y, mask, 5);
    EXPECT_EQ(y[0], 0);
    EXPECT_EQ(y[1], 0);
    EXPECT_EQ(y[2], infinite);
    EXPECT_EQ(y[3], 6);
    EXPECT_EQ(y[4], 0);
    EXPECT_EQ(mask[1], 0);
    EXPECT_EQ(mask[2], 2);
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
