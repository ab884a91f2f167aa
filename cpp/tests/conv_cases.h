// The convolutions that the tests share, and a check of every pass of them by every algorithm that
// fits.
#pragma once

#include <pocketcnn/conv2d.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "compare.h"
#include "conv/ways.h"
#include "random.h"
#include "reference.h"

namespace pocketcnn::tests {

struct ConvCase {
    std::string name;
    Shape4 x;
    Conv2d conv;

    index_t weights() const { return conv.filters * (x.c / conv.groups) * conv.window.taps(); }
    Shape4 y() const { return reference::conv2d_shape(x, conv); }
    friend std::ostream& operator<<(std::ostream& out, const ConvCase& c) { return out << c.name; }
};

/// Shapes at the limits of a convolution. Sizes around the register tile are not here: they depend
/// on the instruction set.
inline const ConvCase kConvCases[] = {
    {"one_pixel", {1, 1, 1, 1}, {{}, 1}},
    {"pointwise", {2, 5, 4, 3}, {{}, 7}},
    // More filters than channels, which fill vectors: x is packed for the gradient of the weights.
    {"pointwise_wider", {2, 32, 9, 8}, {{}, 75}},
    {"pointwise_wider_groups", {1, 64, 6, 7}, {{}, 80, 2}},
    {"pointwise_wider_chunks", {3, 16, 40, 35}, {{}, 33}},
    // Read in place: parts of tiles in rows and columns, groups, and blocks of both.
    {"pointwise_in_place", {2, 10, 7, 9}, {{}, 14, 2}},
    {"pointwise_in_place_rows", {1, 17, 14, 14}, {{}, 75}},
    {"pointwise_in_place_columns", {1, 3, 29, 23}, {{}, 19}},
    {"pointwise_strided", {1, 3, 7, 6}, {{.stride_h = 2, .stride_w = 3}, 2}},
    // Through a copy of the pixels that are seen, also for the gradient of the weights.
    {"pointwise_strided_wider", {2, 32, 9, 8}, {{.stride_h = 2, .stride_w = 2}, 75}},
    // The fully connected layer, of few rows and of short sums.
    {"single_pixels", {3, 70, 1, 1}, {{}, 66}},
    {"single_pixels_short", {17, 20, 1, 1}, {{}, 97}},
    // The gradient of the input is that of one image, in patches instead of 49 phases.
    {"many_phases", {1, 3, 71, 72}, {Window2d::square(7, 7), 72}},
    {"pointwise_padded",
     {2, 2, 3, 4},
     {{.pad_top = 1, .pad_bottom = 2, .pad_left = 3, .pad_right = 1}, 3}},
    {"kernel_is_input", {2, 3, 5, 4}, {{.kernel_h = 5, .kernel_w = 4}, 6}},
    {"kernel_is_padded_input",
     {1, 2, 3, 4},
     {{.kernel_h = 5, .kernel_w = 8, .pad_top = 1, .pad_bottom = 1, .pad_left = 3, .pad_right = 1},
      3}},
    {"non_square", {2, 3, 7, 11}, {{.kernel_h = 3, .kernel_w = 2}, 5}},
    {"row_kernel", {2, 3, 6, 13}, {{.kernel_h = 1, .kernel_w = 4}, 5}},
    {"column_kernel", {2, 3, 13, 6}, {{.kernel_h = 4, .kernel_w = 1}, 5}},
    {"same_3x3", {2, 4, 9, 8}, {Window2d::square(3, 1, 1), 6}},
    {"same_3x3_odd", {1, 9, 7, 13}, {Window2d::square(3, 1, 1), 17}},
    {"valid_3x3", {3, 2, 10, 11}, {Window2d::square(3), 4}},
    {"strided_7x7", {1, 3, 23, 17}, {Window2d::square(7, 2, 3), 8}},
    {"strided_11x11", {1, 3, 47, 39}, {Window2d::square(11, 4, 2), 9}},
    // Few pixels for so many weights.
    {"few_pixels", {3, 130, 7, 5}, {Window2d::square(3, 1, 1), 97}},
    // The last of them by dot products.
    {"few_pixels_dotted", {1, 61, 7, 7}, {Window2d::square(3, 1, 1), 101}},
    {"few_pixels_dilated",
     {1, 128, 9, 11},
     {{.kernel_h = 2, .kernel_w = 3, .stride_h = 2, .pad_left = 2, .dilation_w = 2}, 100}},
    // The phases of a stride beside each other: all of them, one that no tap reads, and a stride
    // that shares a factor with the dilation.
    {"few_pixels_strided", {1, 70, 15, 13}, {Window2d::square(3, 2, 1), 100}},
    {"few_pixels_strided_short",
     {2, 260, 9, 11},
     {{.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 3, .pad_right = 1}, 67}},
    {"few_pixels_strided_dilated",
     {1, 66, 12, 17},
     {{.kernel_h = 2, .kernel_w = 4, .stride_w = 4, .pad_left = 3, .dilation_w = 2}, 99}},
    {"few_pixels_pointwise_strided", {2, 128, 9, 8}, {{.stride_h = 2, .stride_w = 2}, 97}},
    // More channels than are transposed at once, and rows longer than that.
    {"strided_many_channels",
     {2, 37, 9, 71},
     {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1},
      5}},
    {"strided_by_three",
     {3, 18, 5, 40},
     {{.kernel_h = 2, .kernel_w = 4, .stride_h = 1, .stride_w = 3, .pad_left = 2}, 4, 2}},
    {"strided_by_four", {1, 20, 8, 67}, {{.kernel_h = 4, .kernel_w = 4, .stride_w = 4}, 3}},
    {"stride_over_kernel",
     {2, 2, 11, 13},
     {{.kernel_h = 2, .kernel_w = 3, .stride_h = 3, .stride_w = 5}, 3}},
    {"stride_over_kernel_padded",
     {2, 2, 11, 13},
     {{.kernel_h = 2,
       .kernel_w = 3,
       .stride_h = 5,
       .stride_w = 4,
       .pad_top = 1,
       .pad_bottom = 4,
       .pad_left = 2,
       .pad_right = 2},
      3}},
    {"stride_over_input", {2, 3, 4, 5}, {{.kernel_h = 2, .stride_h = 9, .stride_w = 8}, 2}},
    {"stride_h_only", {1, 3, 9, 7}, {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2}, 4}},
    {"stride_w_only", {1, 3, 9, 7}, {{.kernel_h = 3, .kernel_w = 3, .stride_w = 2}, 4}},
    {"padding_is_span",
     {2, 2, 4, 5},
     {{.kernel_h = 3, .kernel_w = 2, .pad_top = 3, .pad_bottom = 3, .pad_left = 2, .pad_right = 2},
      3}},
    {"padding_over_span",
     {1, 2, 3, 2},
     {{.kernel_h = 2,
       .kernel_w = 2,
       .stride_h = 2,
       .stride_w = 3,
       .pad_top = 5,
       .pad_bottom = 4,
       .pad_left = 7,
       .pad_right = 6},
      3}},
    {"asymmetric_padding",
     {2, 3, 6, 5},
     {{.kernel_h = 4, .kernel_w = 3, .pad_top = 0, .pad_bottom = 3, .pad_left = 2, .pad_right = 1},
      4}},
    {"asymmetric_padding_strided",
     {2, 3, 6, 5},
     {{.kernel_h = 4,
       .kernel_w = 3,
       .stride_h = 2,
       .stride_w = 3,
       .pad_top = 3,
       .pad_bottom = 0,
       .pad_left = 1,
       .pad_right = 4},
      4}},
    {"padding_on_one_side",
     {1, 2, 5, 6},
     {{.kernel_h = 3, .kernel_w = 3, .pad_bottom = 2, .pad_right = 1}, 2}},
    {"dilated",
     {2, 3, 9, 11},
     {{.kernel_h = 3, .kernel_w = 3, .dilation_h = 2, .dilation_w = 3}, 4}},
    {"dilated_strided",
     {2, 3, 13, 12},
     {{.kernel_h = 2,
       .kernel_w = 3,
       .stride_h = 3,
       .stride_w = 2,
       .pad_top = 2,
       .pad_bottom = 1,
       .pad_left = 1,
       .pad_right = 2,
       .dilation_h = 4,
       .dilation_w = 3},
      4}},
    {"dilated_stride_shares_factor",
     {1, 2, 11, 14},
     {{.kernel_h = 3,
       .kernel_w = 3,
       .stride_h = 2,
       .stride_w = 4,
       .dilation_h = 4,
       .dilation_w = 2},
      3}},
    {"dilated_span_is_input",
     {1, 2, 9, 7},
     {{.kernel_h = 3, .kernel_w = 4, .dilation_h = 4, .dilation_w = 2}, 3}},
    {"dilation_of_one_tap", {1, 2, 3, 4}, {{.dilation_h = 50, .dilation_w = 70}, 3}},
    {"groups", {2, 6, 5, 7}, {{.kernel_h = 3, .kernel_w = 2}, 9, 3}},
    {"groups_strided",
     {2, 6, 8, 7},
     {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1},
      4,
      2}},
    {"depthwise", {2, 7, 6, 5}, {Window2d::square(3, 1, 1), 7, 7}},
    {"depthwise_multiplied", {1, 5, 6, 9}, {{.kernel_h = 3, .kernel_w = 3, .stride_w = 2}, 15, 5}},
    {"depthwise_wide",
     {1, 20, 17, 19},
     {{.kernel_h = 5, .kernel_w = 3, .pad_top = 2, .pad_bottom = 2}, 20, 20}},
    {"empty_batch", {0, 3, 5, 4}, {{.kernel_h = 2, .kernel_w = 3}, 4}},
    {"empty_batch_strided", {0, 4, 5, 4}, {{.kernel_h = 2, .stride_h = 2}, 4, 2}},
    {"wide_row", {1, 2, 3, 701}, {{.kernel_h = 3, .kernel_w = 3, .pad_left = 1}, 3}},
    {"wide_row_strided",
     {2, 1, 4, 703},
     {{.kernel_h = 2, .kernel_w = 5, .stride_w = 3, .pad_left = 2, .pad_right = 1}, 3}},
    {"tall_column", {1, 2, 701, 3}, {{.kernel_h = 3, .kernel_w = 3, .pad_top = 1}, 3}},
    {"many_small_images", {61, 3, 2, 3}, {Window2d::square(2), 5}},
    {"one_pixel_out_of_many_images", {67, 2, 3, 3}, {Window2d::square(3), 9}},
    {"first_of_digits", {3, 1, 28, 28}, {Window2d::square(5), 30}},
    {"many_channels", {1, 65, 6, 7}, {Window2d::square(3, 1, 1), 33}},
    {"shared_by_threads", {2, 13, 21, 22}, {Window2d::square(3, 1, 1), 19}},
    {"shared_by_threads_strided",
     {3, 12, 23, 22},
     {{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1},
      20,
      2}},
};

/// Operands of one convolution, which crash when they are written to or read past their ends.
template <typename T>
struct ConvOperands {
    explicit ConvOperands(const ConvCase& c, Edge edge = Edge::back)
        : random(c.name),
          x_shape(c.x),
          y_shape(c.y()),
          x(random, x_shape.size(), edge),
          weight(random, c.weights(), edge),
          bias(random, c.conv.filters, edge),
          dy(random, y_shape.size(), edge) {}

    ImageView<const T> x_view() const { return {x.data(), x_shape}; }
    ImageView<const T> dy_view() const { return {dy.data(), y_shape}; }

    Random random;
    Shape4 x_shape, y_shape;
    RandomArray<T> x, weight, bias, dy;
};

using Algorithms = std::vector<ConvAlgorithm>;

/// The algorithms that may be requested for a pass: each of its own, and automatic.
inline Algorithms conv_algorithms(ConvPass pass) {
    Algorithms all = {ConvAlgorithm::automatic};
    for (const ConvWay& way : conv2d_ways(pass)) {
        for (const ConvAlgorithm algorithm : {way.algorithm, way.family}) {
            if (std::find(all.begin(), all.end(), algorithm) == all.end()) all.push_back(algorithm);
        }
    }
    return all;
}

inline bool is_winograd(ConvAlgorithm algorithm) {
    return algorithm == ConvAlgorithm::winograd || algorithm == ConvAlgorithm::winograd_parts ||
           algorithm == ConvAlgorithm::winograd_dilated;
}

/// The allowed errors of the sums, per algorithm. Winograd's transforms mix the results of a tile,
/// so that the error of each is bounded by the largest, and is a few times that of a direct sum:
/// 3.1 times in the mean square was measured for 3x3.
inline Sums allowances(Sums sums, ConvAlgorithm algorithm) {
    if (!is_winograd(algorithm)) return sums;
    constexpr double factor = 8;
    double magnitude = 0;
    index_t terms = 0;
    for (const Sum& sum : sums) {
        magnitude = std::max(magnitude, sum.magnitude);
        terms = std::max(terms, sum.terms);
    }
    for (Sum& sum : sums) sum = {sum.value, factor * magnitude, terms};
    return sums;
}

/// True for algorithms that must compute whatever the sizes are.
inline bool fits_every_shape(ConvAlgorithm algorithm) {
    return algorithm == ConvAlgorithm::automatic || algorithm == ConvAlgorithm::im2col;
}

/// The plan for one pass, or nothing if the algorithm refuses.
inline std::optional<ConvPlan> plan_for(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    try {
        return conv2d_plan(x, conv, pass);
    } catch (const std::invalid_argument& error) {
        EXPECT_FALSE(fits_every_shape(conv.algorithm)) << error.what();
        return std::nullopt;
    }
}

/// Whether Winograd's tiles compute a case, in any of their forms.
inline bool takes_tiles(const ConvCase& c) {
    Conv2d conv = c.conv;
    conv.algorithm = ConvAlgorithm::winograd;
    return plan_for(c.x, conv, ConvPass::forward).has_value();
}

/// Runs compute(operands, conv, result) for every algorithm, with the arrays at either edge of
/// their pages, and compares with the reference. The place of the arrays must not change a bit.
template <typename T, typename Compute>
void check_conv(const ConvCase& c, ConvPass pass, Compute&& compute, const ConvOperands<T>& front,
                const ConvOperands<T>& back, const Sums& wanted, const Algorithms& algorithms) {
    const auto size = static_cast<index_t>(wanted.size());
    for (const ConvAlgorithm algorithm : algorithms) {
        SCOPED_TRACE(c.name + ", " + name_of(algorithm) +
                     (sizeof(T) == 4 ? ", float" : ", double"));
        Conv2d conv = c.conv;
        conv.algorithm = algorithm;
        const std::optional<ConvPlan> plan = plan_for(c.x, conv, pass);
        if (!plan) continue;
        const Guarded<T> result(size, Edge::back), other(size, Edge::front);
        const std::uint64_t before = conv::runs(pass, plan->algorithm);
        compute(back, conv, result.data());
        EXPECT_EQ(conv::runs(pass, plan->algorithm), before + (c.x.n > 0 ? 1 : 0))
            << name_of(plan->algorithm) << " was planned";
        expect_sums(result, allowances(wanted, plan->algorithm));
        compute(front, conv, other.data());
        EXPECT_TRUE(other.margins_intact()) << "something beside the result was written";
        EXPECT_TRUE(same_bits(other.copy(), result.copy())) << "the result depends on alignment";
    }
}

template <typename T>
void check_forward(const ConvCase& c, bool with_bias,
                   const Algorithms& algorithms = conv_algorithms(ConvPass::forward)) {
    const ConvOperands<T> front(c, Edge::front), back(c, Edge::back);
    const auto bias = [&](const auto& o) { return with_bias ? o.bias.data() : nullptr; };
    const auto compute = [&](const auto& o, const Conv2d& conv, T* y) {
        conv2d<T>(o.x_view(), o.weight.data(), bias(o), conv, {y, o.y_shape});
    };
    check_conv(c, ConvPass::forward, compute, front, back,
               reference::conv2d<T>(back.x.data(), c.x, back.weight.data(), bias(back), c.conv),
               algorithms);
}

template <typename T>
void check_input_grad(const ConvCase& c,
                      const Algorithms& algorithms = conv_algorithms(ConvPass::input_grad)) {
    const ConvOperands<T> front(c, Edge::front), back(c, Edge::back);
    const auto compute = [&](const auto& o, const Conv2d& conv, T* dx) {
        conv2d_backward_input<T>(o.dy_view(), o.weight.data(), conv, {dx, c.x});
    };
    check_conv(c, ConvPass::input_grad, compute, front, back,
               reference::conv2d_backward_input<T>(back.dy.data(), back.weight.data(), c.conv, c.x),
               algorithms);
}

template <typename T>
void check_weight_grad(const ConvCase& c,
                       const Algorithms& algorithms = conv_algorithms(ConvPass::weight_grad)) {
    const ConvOperands<T> front(c, Edge::front), back(c, Edge::back);
    const auto compute = [&](const auto& o, const Conv2d& conv, T* dweight) {
        conv2d_backward_weight<T>(o.dy_view(), o.x_view(), conv, dweight);
    };
    check_conv(c, ConvPass::weight_grad, compute, front, back,
               reference::conv2d_backward_weight<T>(back.dy.data(), back.x.data(), c.x, c.conv),
               algorithms);
}

}  // namespace pocketcnn::tests
