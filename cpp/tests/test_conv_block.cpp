// Convolution, ReLU and max pooling as one operation against the naive steps: batches that are cut
// into slices and batches that are not, gradients of all results and of the pooled ones alone.
// test_conv_block_steps.cpp has the other steps.
#include <pocketcnn/conv_block.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "conv_cases.h"
#include "fields.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

struct BlockCase {
    std::string name;
    Shape4 x;
    ConvBlock block;

    Shape4 maps() const { return reference::conv2d_shape(x, block.conv); }
    Shape4 y() const {
        return block.pool ? reference::pool2d_shape(maps(), block.pool->pool) : maps();
    }
    index_t weights() const {
        return block.conv.filters * (x.c / block.conv.groups) * block.conv.window.taps();
    }
};

constexpr Window2d kPool2 = Window2d::square(2, 2);
constexpr Window2d kPool3 = Window2d::square(3, 2);
constexpr Window2d kConv3 = Window2d::square(3, 1, 1);
constexpr Window2d kConv5 = Window2d::square(5);
constexpr Window2d kUneven = {.kernel_h = 2,
                              .kernel_w = 8,
                              .stride_h = 2,
                              .pad_top = 1,
                              .pad_left = 3,
                              .pad_right = 2,
                              .dilation_h = 3};

ConvBlock rectified(const Conv2d& conv) {
    return {conv, Activation::relu, {}};
}
ConvBlock pooled(const Conv2d& conv, const Window2d& window, bool ceil_mode = false) {
    return {conv, Activation::relu, BlockPool{{window, ceil_mode}}};
}

const BlockCase kBlockCases[] = {
    {"book", {20, 1, 28, 28}, pooled({kConv5, 7}, kPool2)},
    {"few_images", {3, 1, 14, 15}, pooled({kConv5, 4}, kPool2)},
    {"several_channels", {9, 3, 12, 11}, pooled({kConv5, 6}, kPool2)},
    {"padded", {17, 2, 10, 9}, pooled({kConv3, 5}, kPool2, true)},
    {"overlapping_windows", {8, 2, 13, 12}, pooled({kConv5, 3}, kPool3)},
    {"uneven_window", {9, 2, 21, 24}, pooled({kUneven, 3}, kPool2)},
    {"window_too_wide", {9, 1, 9, 24}, pooled({{.kernel_h = 2, .kernel_w = 9}, 3}, kPool2)},
    {"groups", {9, 4, 12, 12}, pooled({kConv5, 6, 2}, kPool2)},
    {"large_pool", {8, 1, 17, 17}, pooled({kConv3, 3}, Window2d::square(4, 4))},
    {"no_pooling", {11, 2, 9, 10}, rectified({kConv3, 5})},
    {"matrix_product", {10, 16, 9, 8}, pooled({kConv3, 18, 1, ConvAlgorithm::im2col}, kPool2)},
    {"sparse_asked_for", {10, 16, 9, 8}, pooled({kConv3, 18, 1, ConvAlgorithm::sparse}, kPool2)},
    {"sparse_does_not_pay",
     {3, 3, 9, 8},
     pooled({kConv3, 4, 1, ConvAlgorithm::sparse}, Window2d::square(2))},
    {"one_image", {1, 1, 8, 8}, pooled({kConv3, 2}, kPool2)},
    {"empty_batch", {0, 1, 8, 8}, pooled({kConv3, 2}, kPool2)},
};

/// The operands of one case and the library's results.
template <typename T>
struct Result {
    explicit Result(const BlockCase& c)
        : random(c.name),
          x(random, c.x.size()),
          weight(random, c.weights()),
          bias(random, c.block.conv.filters),
          dy(random, c.y().size()),
          y(c.y().size()),
          argmax(c.block.pool ? c.y().size() : 0),
          dx(c.x.size()),
          dweight(c.weights()),
          dbias(c.block.conv.filters) {
        conv_block<T>({x.data(), c.x}, weight.data(), bias.data(), c.block,
                      {{y.data(), c.y()}, c.block.pool ? argmax.data() : nullptr});
        conv_block_backward<T>({dy.data(), c.y()}, {y.data(), argmax.data()}, {x.data(), c.x},
                               weight.data(), c.block, {dx.data(), dweight.data(), dbias.data()});
    }

    Random random;
    RandomArray<T> x, weight, bias, dy;
    Guarded<T> y;
    Guarded<std::int32_t> argmax;
    Guarded<T> dx, dweight, dbias;
};

/// Every pooled value is the largest of its window, at the place that argmax says.
template <typename T>
void check_pooled(const BlockCase& c, const Sums& maps, const Result<T>& result) {
    std::vector<Sum> largest(c.y().size());
    std::vector<double> allowed(c.y().size(), 0);
    std::vector<bool> seen(c.y().size(), false);
    reference::for_pooled(c.maps(), c.block.pool->pool, [&](index_t i, index_t place, index_t k) {
        if (!seen[k] || maps[i].value > largest[k].value) largest[k] = maps[i];
        allowed[k] = std::max(allowed[k], tolerance<T>(maps[i]));
        seen[k] = true;
        if (result.argmax[k] == place && result.y[k] > 0) {
            EXPECT_NEAR(result.y[k], maps[i].value, tolerance<T>(maps[i]));
        }
    });
    for (index_t k = 0; k < c.y().size(); ++k) {
        ASSERT_NEAR(result.y[k], std::max(0.0, largest[k].value), allowed[k]) << "element " << k;
    }
}

/// dy after the block's ReLU, unless dy has passed that already.
template <typename T>
std::vector<T> gradient_of_maps(const BlockCase& c, const Result<T>& result) {
    std::vector<T> dmaps(c.maps().size(), T{0});
    for (index_t k = 0; k < c.y().size(); ++k) {
        const index_t plane = k / c.y().plane();
        const index_t i = c.block.pool ? plane * c.maps().plane() + result.argmax[k] : k;
        if (c.block.dy_before_relu || result.y[k] > 0) dmaps[i] += result.dy[k];
    }
    return dmaps;
}

template <typename T>
void check_gradients(const BlockCase& c, const Result<T>& result) {
    const Conv2d& conv = c.block.conv;
    const auto allowed = [&](const Sums& sums, ConvPass pass) {
        const bool sparse = conv.algorithm == ConvAlgorithm::sparse;
        if (sparse && pass == ConvPass::weight_grad) return sums;
        return allowances(sums, conv2d_plan(c.x, conv, pass).algorithm);
    };
    const std::vector<T> dmaps = gradient_of_maps(c, result);
    expect_sums(result.dweight,
                allowed(reference::conv2d_backward_weight(dmaps.data(), result.x.data(), c.x, conv),
                        ConvPass::weight_grad));
    expect_sums(result.dbias, reference::conv2d_backward_bias(dmaps.data(), c.maps()));
    Sums dx =
        allowed(reference::conv2d_backward_input(dmaps.data(), result.weight.data(), conv, c.x),
                ConvPass::input_grad);
    for (index_t i = 0; c.block.dx_before_relu && i < c.x.size(); ++i) {
        if (result.x[i] <= 0) dx[i] = {};
    }
    expect_sums(result.dx, dx);
}

template <typename T>
void check(const BlockCase& c) {
    SCOPED_TRACE(c.name + (sizeof(T) == sizeof(float) ? ", float" : ", double"));
    ASSERT_EQ(conv_block_output_shape(c.x, c.block), c.y());
    const Result<T> result(c);
    Sums maps = allowances(reference::conv2d(result.x.data(), c.x, result.weight.data(),
                                             result.bias.data(), c.block.conv),
                           conv2d_plan(c.x, c.block.conv, ConvPass::forward).algorithm);
    if (c.block.pool) {
        check_pooled(c, maps, result);
    } else {
        for (Sum& sum : maps) sum.value = std::max(0.0, sum.value);
        expect_sums(result.y, maps);
    }
    EXPECT_TRUE(result.y.margins_intact() && result.argmax.margins_intact());
    check_gradients(c, result);
}

class ConvBlockTest : public IsaCaseTest<BlockCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvBlockTest, BlockCase, kBlockCases);

TEST_P(ConvBlockTest, ForwardAndGradients) {
    check<float>(test_case());
    check<double>(test_case());
}

constexpr Window2d kAskew = {
    .kernel_h = 3, .kernel_w = 2, .pad_top = 1, .pad_bottom = 2, .pad_right = 3};

/// Cases for each path through the backward pass; sliced if there are enough images.
const BlockCase kWays[] = {
    {"sparse", {3, 2, 11, 13}, pooled({kAskew, 6}, kPool3)},
    {"sparse_sliced", {9, 2, 11, 12}, pooled({kAskew, 4}, kPool3)},
    {"dense", {9, 4, 11, 12}, pooled({kAskew, 6, 2}, kPool3)},
    {"depthwise", {8, 6, 11, 12}, pooled({kAskew, 6, 6}, kPool3)},
    {"matrix_product", {9, 4, 11, 12}, pooled({kAskew, 18, 1, ConvAlgorithm::im2col}, kPool3)},
    {"winograd", {2, 12, 10, 11}, pooled({kConv3, 12}, kPool3)},
    {"unpooled", {9, 2, 11, 12}, rectified({kAskew, 6})},
};

class ConvBlockFieldsTest : public IsaCaseTest<BlockCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvBlockFieldsTest, BlockCase, kWays);

TEST_P(ConvBlockFieldsTest, OfTheConvolution) {
    for_every_field(test_case().block.conv, [&](const std::string& name, const Conv2d& conv) {
        BlockCase c = test_case();
        c.name += " with " + name;
        c.block.conv = conv;
        check<float>(c);
        check<double>(c);
    });
}

TEST_P(ConvBlockFieldsTest, OfThePooling) {
    if (!test_case().block.pool) return;
    for_every_field(kPool3, [&](const std::string& name, const Window2d& window) {
        for (const bool ceil_mode : {false, true}) {
            BlockCase c = test_case();
            c.name += " pooled with " + name + (ceil_mode ? " in ceil mode" : "");
            c.block.pool = BlockPool{{window, ceil_mode}};
            check<float>(c);
        }
    });
}

TEST_P(ConvBlockFieldsTest, BetweenBlocks) {
    for (const bool dx_before_relu : {false, true}) {
        for (const bool dy_before_relu : {false, true}) {
            BlockCase c = test_case();
            c.block.dx_before_relu = dx_before_relu;
            c.block.dy_before_relu = dy_before_relu;
            check<float>(c);
            check<double>(c);
        }
    }
}

/// How often, in one backward pass, the gradient of the weights was computed from pooled values
/// only, and how often by other algorithms.
std::pair<std::uint64_t, std::uint64_t> sparse_and_other_runs(const BlockCase& c) {
    const auto count = [] {
        std::pair<std::uint64_t, std::uint64_t> counts;
        for (const ConvWay& way : conv2d_ways(ConvPass::weight_grad)) {
            const bool sparse = way.algorithm == ConvAlgorithm::sparse;
            (sparse ? counts.first : counts.second) +=
                conv::runs(ConvPass::weight_grad, way.algorithm);
        }
        return counts;
    };
    const auto before = count();
    const Result<float> result(c);
    const auto after = count();
    return {after.first - before.first, after.second - before.second};
}

TEST(ConvBlock, TheTableSaysWhetherTheGradientIsSparse) {
    using Runs = std::pair<std::uint64_t, std::uint64_t>;
    const auto runs = [](const Shape4& x, const Conv2d& conv, const Window2d& pool) {
        return sparse_and_other_runs({"runs", x, pooled(conv, pool)});
    };
    constexpr Window2d close = Window2d::square(2);
    EXPECT_EQ(runs({3, 1, 28, 28}, {kConv5, 7}, kPool2), Runs(1, 0));
    EXPECT_EQ(runs({3, 1, 28, 28}, {kConv5, 7}, close), Runs(0, 1)) << "as many as the results";
    EXPECT_EQ(runs({3, 2, 28, 28}, {kConv5, 6, 2}, kPool2), Runs(0, 1)) << "two groups";
    EXPECT_EQ(runs({3, 32, 14, 14}, {kConv3, 32}, kPool2), Runs(0, 1)) << "tiles come first";
    const auto asking = [](index_t filters, ConvAlgorithm algorithm) {
        return Conv2d{kConv3, filters, 1, algorithm};
    };
    EXPECT_EQ(runs({3, 32, 14, 14}, asking(32, ConvAlgorithm::sparse), kPool2), Runs(1, 0));
    EXPECT_EQ(runs({3, 1, 28, 28}, asking(7, ConvAlgorithm::im2col), kPool2), Runs(0, 1));
    EXPECT_THROW(sparse_and_other_runs(
                     {"unpooled", {3, 1, 9, 9}, rectified(asking(3, ConvAlgorithm::sparse))}),
                 std::invalid_argument);
}

class ConvBlockThreadsTest : public ThreadTest {};

TEST_F(ConvBlockThreadsTest, SameBitsForAnyTeam) {
    const BlockCase c = {"threads", {40, 1, 28, 28}, pooled({kConv5, 7}, kPool2)};
    set_num_threads(1);
    const Result<float> alone(c);
    for (const auto& [team, threads] : crews({2, 3, 8})) {
        use(team, threads);
        const Result<float> shared(c);
        EXPECT_TRUE(same_bits(shared.y.copy(), alone.y.copy()));
        EXPECT_TRUE(same_bits(shared.dx.copy(), alone.dx.copy()));
        EXPECT_TRUE(same_bits(shared.dweight.copy(), alone.dweight.copy()));
        EXPECT_TRUE(same_bits(shared.dbias.copy(), alone.dbias.copy()));
    }
}

TEST(ConvBlock, RefusesWhatDoesNotFit) {
    const BlockCase c = {"refused", {2, 1, 28, 28}, pooled({kConv5, 3}, kPool2)};
    Result<float> result(c);
    Shape4 wrong = c.y();
    ++wrong.h;
    EXPECT_THROW(conv_block<float>({result.x.data(), c.x}, result.weight.data(), nullptr, c.block,
                                   {{result.y.data(), wrong}, result.argmax.data()}),
                 std::invalid_argument);
    for (const auto place : {-1, static_cast<std::int32_t>(c.maps().plane())}) {
        result.argmax[0] = place;
        EXPECT_THROW(conv_block_backward<float>(
                         {result.dy.data(), c.y()}, {result.y.data(), result.argmax.data()},
                         {result.x.data(), c.x}, result.weight.data(), c.block,
                         {nullptr, result.dweight.data(), result.dbias.data()}),
                     std::invalid_argument);
    }
}

}  // namespace
}  // namespace pocketcnn::tests
