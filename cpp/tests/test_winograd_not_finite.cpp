// Values that are not finite, or that overflow in a transform, among ordinary ones: Winograd's
// tiles must let them reach the results whose windows see them, and no others.
#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "conv_cases.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

Window2d padded(index_t kernel, index_t stride, index_t padding, index_t dilation = 1) {
    return {kernel, kernel, stride, stride, padding, padding, padding, padding, dilation, dilation};
}

const ConvCase kCases[] = {
    {"same", {3, 5, 17, 14}, {padded(3, 1, 1), 7}},
    {"wide kernel", {2, 3, 13, 14}, {padded(5, 1, 2), 18}},
    {"no padding, groups", {3, 6, 13, 12}, {padded(3, 1, 0), 4, 2}},
    {"point by point", {2, 300, 7, 8}, {padded(3, 1, 1), 3}},
    {"strided", {2, 3, 22, 23}, {padded(7, 2, 3), 6}},
    {"steps over the last pixels", {2, 3, 15, 18}, {padded(5, 4, 0), 4}},
    {"dilated", {2, 4, 19, 18}, {padded(3, 1, 2, 2), 5}},
    {"in parts", {3, 3, 16, 19}, {padded(7, 1, 3), 5}},
    {"in many parts", {2, 2, 16, 15}, {padded(11, 1, 5), 4, 2}},
    {"row", {2, 5, 6, 19}, {{1, 3}, 7}},
    {"column in parts", {3, 3, 16, 7}, {{.kernel_h = 7, .pad_top = 3, .pad_bottom = 3}, 5}},
};

template <typename T>
std::vector<T> odd_values() {
    using Limits = std::numeric_limits<T>;
    return {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity(), Limits::max(),
            -Limits::max()};
}

/// Every result equals the direct sum, within the errors that Winograd may have among the ordinary
/// values, whose sums are `clean`. Rectified if requested.
template <typename T>
void expect_direct(const std::vector<T>& actual, const Sums& wanted, const Sums& clean,
                   bool rectified = false) {
    const double allowed = tolerance<T>(allowances(clean, ConvAlgorithm::winograd)[0]);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double value = rectified && wanted[i].value <= 0 ? 0 : wanted[i].value;
        expect_near(actual[i], value, tolerance<T>(wanted[i]) + allowed);
        if (::testing::Test::HasFailure()) {
            ADD_FAILURE() << "at " << i;
            return;
        }
    }
}

/// Calls body(place, odd value): for each, in the last image but one, another place
/// of x or dy has it.
template <typename T, typename Body>
void with_odd_values(const ConvCase& c, const Shape4& shape, Body&& body) {
    index_t place = 0;
    for (const T value : odd_values<T>()) {
        SCOPED_TRACE(c.name + ", " + std::to_string(value));
        place = (place + 37) % shape.image();
        body((shape.n - 2) * shape.image() + place, value);
    }
}

template <typename T>
void odd_forward(ConvCase c) {
    c.conv.algorithm = ConvAlgorithm::winograd;
    ConvOperands<T> o(c);
    std::vector<T> x = o.x.copy();
    const auto sums = [&] {
        return reference::conv2d<T>(x.data(), c.x, o.weight.data(), o.bias.data(), c.conv);
    };
    const Sums clean = sums();
    with_odd_values<T>(c, c.x, [&](index_t place, T value) {
        const T before = std::exchange(x[place], value);
        const Sums wanted = sums();
        for (const bool rectify : {false, true}) {
            const Epilogue epilogue = {rectify ? std::optional(Activation::relu) : std::nullopt};
            std::vector<T> y(o.y_shape.size());
            conv2d<T>({x.data(), c.x}, o.weight.data(), o.bias.data(), c.conv,
                      {y.data(), o.y_shape}, epilogue);
            expect_direct(y, wanted, clean, rectify);
        }
        x[place] = before;
    });
}

template <typename T>
void odd_input_grad(ConvCase c) {
    c.conv.algorithm = ConvAlgorithm::winograd;
    ConvOperands<T> o(c);
    std::vector<T> dy = o.dy.copy(), gate = o.x.copy();
    gate[0] = std::numeric_limits<T>::quiet_NaN();  // lets the gradient through
    const auto sums = [&] {
        return reference::conv2d_backward_input<T>(dy.data(), o.weight.data(), c.conv, c.x);
    };
    const Sums clean = sums();
    with_odd_values<T>(c, o.y_shape, [&](index_t place, T value) {
        const T before = std::exchange(dy[place], value);
        Sums wanted = sums();
        std::vector<T> dx(c.x.size());
        conv2d_backward_input<T>({dy.data(), o.y_shape}, o.weight.data(), c.conv, {dx.data(), c.x});
        expect_direct(dx, wanted, clean);
        conv2d_backward_input<T>({dy.data(), o.y_shape}, o.weight.data(), c.conv, {dx.data(), c.x},
                                 gate.data());
        for (std::size_t i = 0; i < gate.size(); ++i) {
            if (gate[i] <= 0) wanted[i] = {};
        }
        expect_direct(dx, wanted, clean);
        dy[place] = before;
    });
}

/// A pixel of x reaches only some taps of its channel.
template <typename T>
void odd_weight_grad(ConvCase c) {
    c.conv.algorithm = ConvAlgorithm::winograd;
    ConvOperands<T> o(c);
    std::vector<T> x = o.x.copy();
    const auto sums = [&] {
        return reference::conv2d_backward_weight<T>(o.dy.data(), x.data(), c.x, c.conv);
    };
    const Sums clean = sums();
    with_odd_values<T>(c, c.x, [&](index_t place, T value) {
        const T before = std::exchange(x[place], value);
        std::vector<T> dweight(c.weights());
        conv2d_backward_weight<T>(o.dy_view(), {x.data(), c.x}, c.conv, dweight.data());
        expect_direct(dweight, sums(), clean);
        x[place] = before;
    });
}

class WinogradNotFiniteTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(WinogradNotFiniteTest);

TEST_P(WinogradNotFiniteTest, Forward) {
    for (const ConvCase& c : kCases) {
        EXPECT_TRUE(takes_tiles(c)) << c.name;
        odd_forward<float>(c);
        odd_forward<double>(c);
    }
}

TEST_P(WinogradNotFiniteTest, InputGrad) {
    for (const ConvCase& c : kCases) {
        odd_input_grad<float>(c);
        odd_input_grad<double>(c);
    }
}

TEST_P(WinogradNotFiniteTest, WeightGrad) {
    for (const ConvCase& c : kCases) {
        odd_weight_grad<float>(c);
        odd_weight_grad<double>(c);
    }
}

/// Images without such a value keep their bits, and those of all are the same for any threads.
TEST_P(WinogradNotFiniteTest, OtherImagesAndThreads) {
    ConvCase c = kCases[0];
    c.conv.algorithm = ConvAlgorithm::winograd;
    const ConvOperands<float> o(c);
    std::vector<float> x = o.x.copy(), clean(o.y_shape.size()), first;
    conv2d<float>({x.data(), c.x}, o.weight.data(), nullptr, c.conv, {clean.data(), o.y_shape});
    x[c.x.image() + 5] = std::numeric_limits<float>::infinity();
    const KeepThreads keep;
    for (const auto& [team, threads] : crews({1, 3})) {
        use(team, threads);
        std::vector<float> y(o.y_shape.size());
        conv2d<float>({x.data(), c.x}, o.weight.data(), nullptr, c.conv, {y.data(), o.y_shape});
        if (threads == 1) first = y;
        EXPECT_TRUE(same_bits(y, first));
    }
    const index_t image = o.y_shape.image();
    EXPECT_TRUE(std::equal(first.begin(), first.begin() + image, clean.begin()));
    EXPECT_TRUE(std::equal(first.begin() + 2 * image, first.end(), clean.begin() + 2 * image));
}

}  // namespace
}  // namespace pocketcnn::tests
