// Invalid sizes, and sizes that fit no memory, are refused before anything is computed.
#include <pocketcnn/window2d.h>

#include <gtest/gtest.h>
#include <pocketcnn/column_matrix.h>
#include <pocketcnn/conv2d.h>
#include <pocketcnn/pool2d.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "guarded.h"

namespace pocketcnn::tests {
namespace {

constexpr index_t kMost = std::numeric_limits<index_t>::max();
constexpr index_t kLeast = std::numeric_limits<index_t>::min();

const Window2d kBadWindows[] = {
    {.kernel_h = 0},
    {.kernel_w = 0},
    {.kernel_h = -1},
    {.kernel_w = kLeast},
    {.stride_h = 0},
    {.stride_w = -2},
    {.pad_top = -1},
    {.pad_bottom = -1},
    {.pad_left = -1},
    {.pad_right = kLeast},
    {.dilation_h = 0},
    {.dilation_w = -3},
    {.kernel_h = 6},                                   // larger than the input
    {.kernel_w = 7},                                   // likewise
    {.kernel_h = 3, .pad_top = 1, .dilation_h = 3},    // spans 7 of 6
    {.kernel_w = 2, .pad_right = 1, .dilation_w = 8},  // spans 9 of 7
    {.kernel_h = kMost},
    {.kernel_h = kMost, .pad_top = kMost},
    {.kernel_w = 2, .dilation_w = kMost},
    {.kernel_w = kMost, .dilation_w = kMost},
    {.kernel_h = index_t{1} << 32, .pad_top = index_t{1} << 33, .dilation_h = index_t{1} << 32},
    {.pad_left = kMost},
    {.pad_left = kMost / 2 + 1, .pad_right = kMost / 2 + 1},
    {.stride_w = kMost},
    {.kernel_h = index_t{1} << 30,
     .kernel_w = index_t{1} << 30,
     .pad_top = index_t{1} << 30,
     .pad_left = index_t{1} << 30},
};

TEST(Window2d, RefusesNonsense) {
    for (const Window2d& window : kBadWindows) {
        const auto number = &window - kBadWindows;
        EXPECT_THROW(validate(window, 5, 6), std::invalid_argument) << number;
        EXPECT_THROW(conv2d_output_shape({1, 1, 5, 6}, {window, 1}), std::invalid_argument)
            << number;
        EXPECT_THROW(pool2d_output_shape({1, 1, 5, 6}, {window}), std::invalid_argument) << number;
    }
}

/// In ceil mode the only window may reach past the end, by less than a step.
TEST(Window2d, OnlyWindowOfCeilMode) {
    const auto shape = [](index_t size, index_t kernel, index_t stride, index_t pad) {
        const Window2d window = {.kernel_h = kernel, .stride_h = stride, .pad_top = pad};
        return pool2d_output_shape({1, 1, size, 1}, {window, true});
    };
    const Shape4 one = {1, 1, 1, 1};
    EXPECT_EQ(shape(2, 3, 2, 0), one);
    EXPECT_EQ(shape(1, 2, 2, 0), one);
    EXPECT_EQ(shape(2, 7, 4, 2), one);
    EXPECT_THROW(shape(2, 4, 2, 0), std::invalid_argument);
    EXPECT_THROW(shape(2, 3, 1, 0), std::invalid_argument);
    EXPECT_THROW(shape(0, 2, 2, 0), std::invalid_argument);
}

TEST(Window2d, RefusesImagesWithoutPixels) {
    EXPECT_THROW(validate(Window2d{}, 0, 3), std::invalid_argument);
    EXPECT_THROW(validate(Window2d{}, 3, 0), std::invalid_argument);
    EXPECT_THROW(validate(Window2d{.pad_top = 2}, 0, 3), std::invalid_argument);
    EXPECT_THROW(validate(Window2d{}, -1, 3), std::invalid_argument);
}

TEST(Window2d, SquareIsAlikeOnAllSides) {
    constexpr Window2d window = Window2d::square(5, 3, 2);
    EXPECT_EQ(window.taps(), 25);
    EXPECT_EQ(window.out_h(9), 3);
    EXPECT_EQ(window.out_w(9), 3);
    EXPECT_EQ(window.pad_bottom, window.pad_top);
    EXPECT_EQ(window.pad_right, window.pad_left);
    EXPECT_EQ(window.dilation_h * window.dilation_w, 1);
}

TEST(Window2d, OutputSizes) {
    const Window2d window = {.kernel_h = 3, .kernel_w = 2, .stride_h = 2, .pad_top = 1};
    EXPECT_NO_THROW(validate(window, 5, 6));
    EXPECT_EQ(window.out_h(5), 2);
    EXPECT_EQ(window.out_w(6), 5);
    EXPECT_FALSE(window.is_pointwise());
    EXPECT_TRUE(Window2d{.dilation_h = 4}.is_pointwise());
    EXPECT_FALSE(Window2d{.stride_w = 2}.is_pointwise());
    EXPECT_FALSE(Window2d{.pad_right = 1}.is_pointwise());
}

TEST(Shape4, RefusesNegativeAndTooLargeSizes) {
    for (const Shape4& shape : {Shape4{-1, 1, 1, 1},
                                {1, -1, 1, 1},
                                {1, 1, kLeast, 1},
                                {1, 1, 1, -5},
                                {0, -1, 2, 2},
                                {kMost, 1, 1, 1},
                                {kMost, kMost, kMost, kMost},
                                {1 << 20, 1 << 20, 1 << 20, 1 << 20},
                                {1, 1, index_t{1} << 32, index_t{1} << 32},
                                {0, kMost, kMost, 1}}) {
        EXPECT_THROW(validate(shape, "x"), std::invalid_argument)
            << shape.n << ' ' << shape.c << ' ' << shape.h << ' ' << shape.w;
    }
    EXPECT_NO_THROW(validate(Shape4{0, 3, 5, 5}, "x"));
    try {
        validate(Shape4{1, 1, 1, -5}, "the thing");
        ADD_FAILURE();
    } catch (const std::invalid_argument& error) {
        EXPECT_NE(std::string(error.what()).find("the thing"), std::string::npos) << error.what();
    }
}

TEST(Conv2d, RefusesGroupsThatDoNotDivide) {
    const Shape4 x = {1, 6, 5, 5};
    for (const Conv2d& conv : {Conv2d{{}, 6, 4},
                               {{}, 4, 3},
                               {{}, 6, 0},
                               {{}, 6, -2},
                               {{}, 0, 1},
                               {{}, -6, 2},
                               {{}, 6, kMost}}) {
        EXPECT_THROW(conv2d_output_shape(x, conv), std::invalid_argument)
            << conv.filters << " filters, " << conv.groups << " groups";
    }
    EXPECT_THROW(conv2d_output_shape({1, 0, 5, 5}, {{}, 6, 1}), std::invalid_argument);
    EXPECT_NO_THROW(conv2d_output_shape(x, {{}, 9, 3}));
}

/// Outputs, and column matrices, may be too large where inputs are not.
TEST(Conv2d, RefusesOutputsThatNoMemoryHolds) {
    constexpr index_t large = index_t{1} << 39;
    EXPECT_THROW(conv2d_output_shape({1, 1, 1, 1}, {{}, kMost}), std::invalid_argument);
    EXPECT_THROW(conv2d_output_shape({1, 1, 1, 1}, {{.pad_top = large, .pad_left = large}, 1}),
                 std::invalid_argument);
    EXPECT_THROW(conv2d_output_shape({1 << 30, 1, 1, 1}, {{.pad_left = large}, 1}),
                 std::invalid_argument);
}

TEST(Conv2d, WrongShapesLeaveTheOutputAlone) {
    const Conv2d conv = {Window2d::square(2), 3};
    const Shape4 x = {2, 2, 4, 5}, y = {2, 3, 3, 4}, wrong = {2, 3, 4, 3};
    const Guarded<float> in(x.size()), weight(24), out(y.size());
    EXPECT_THROW(conv2d<float>({in.data(), x}, weight.data(), nullptr, conv, {out.data(), wrong}),
                 std::invalid_argument);
    EXPECT_THROW(
        conv2d_backward_input<float>({out.data(), wrong}, weight.data(), conv, {in.data(), x}),
        std::invalid_argument);
    EXPECT_THROW(
        conv2d_backward_weight<float>({out.data(), wrong}, {in.data(), x}, conv, weight.data()),
        std::invalid_argument);
    for (const Window2d& window : kBadWindows) {
        EXPECT_THROW(
            conv2d<float>({in.data(), x}, weight.data(), nullptr, {window, 3}, {out.data(), y}),
            std::invalid_argument);
    }
    EXPECT_TRUE(in.untouched());
    EXPECT_TRUE(weight.untouched());
    EXPECT_TRUE(out.untouched());
}

/// An array without elements may have any number of channels.
TEST(Im2col, RefusesColumnsThatNoMemoryHolds) {
    constexpr index_t many = index_t{1} << 20;
    const Window2d window = {.kernel_h = many, .kernel_w = many, .pad_top = many, .pad_left = many};
    const Shape4 x = {0, many << 10, 1, 1};
    float nothing = 0;
    EXPECT_THROW(im2col<float>({&nothing, x}, window, {&nothing, 0, 0}), std::invalid_argument);
    EXPECT_THROW(col2im<float>({&nothing, 0, 0}, window, {&nothing, x}), std::invalid_argument);
}

}  // namespace
}  // namespace pocketcnn::tests
