// The tables of algorithms: what is requested by name runs, or is refused with the reason of its
// row. The tests that use conv_cases.h compare the results. test_conv_block.cpp has the algorithm
// that needs a pooling.
#include <pocketcnn/conv2d.h>

#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "conv/problem.h"
#include "conv/ways.h"
#include "conv_cases.h"
#include "isa_test.h"

namespace pocketcnn::tests {
namespace {

constexpr ConvPass kPasses[] = {ConvPass::forward, ConvPass::input_grad, ConvPass::weight_grad};

Conv2d asking(Conv2d conv, ConvAlgorithm algorithm) {
    conv.algorithm = algorithm;
    return conv;
}

/// The message of a refused plan.
std::string refusal(const Shape4& x, const Conv2d& conv, ConvPass pass) {
    try {
        return std::string("taken by ") + name_of(conv2d_plan(x, conv, pass).algorithm);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
}

TEST(Conv2dWays, NamesAreOfOneAlgorithmEach) {
    std::map<std::string, ConvAlgorithm> named = {{"auto", ConvAlgorithm::automatic}};
    for (const ConvPass pass : kPasses) {
        std::set<ConvAlgorithm> rows;
        for (const ConvWay& way : conv2d_ways(pass)) {
            EXPECT_TRUE(rows.insert(way.algorithm).second) << name_of(way.algorithm);
            for (const ConvAlgorithm algorithm : {way.algorithm, way.family}) {
                EXPECT_EQ(named.try_emplace(name_of(algorithm), algorithm).first->second,
                          algorithm);
            }
            for (const char* text : {way.reason, way.takes, way.pays}) EXPECT_STRNE(text, "");
        }
    }
    EXPECT_STREQ(name_of(ConvAlgorithm::automatic), "auto");
}

/// The first row that fits and pays.
TEST(Conv2dWays, Choices) {
    struct Choice {
        ConvPass pass;
        Shape4 x;
        Conv2d conv;
        ConvAlgorithm chosen;
    };
    const Window2d same = Window2d::square(3, 1, 1), halving = Window2d::square(3, 2, 1);
    const Window2d seven = Window2d::square(7, 1, 3), dilated = {3, 3, 1, 1, 2, 2, 2, 2, 2, 2};
    const Window2d row = {.kernel_w = 7, .pad_left = 3, .pad_right = 3}, column = {3, 1};
    constexpr ConvPass forward = ConvPass::forward, input_grad = ConvPass::input_grad,
                       weight_grad = ConvPass::weight_grad;
    const Choice choices[] = {
        {forward, {4, 64, 28, 28}, {same, 64}, ConvAlgorithm::winograd},
        {forward, {4, 64, 28, 28}, {seven, 64}, ConvAlgorithm::winograd_parts},
        {forward, {4, 64, 28, 28}, {dilated, 64}, ConvAlgorithm::winograd_dilated},
        {forward, {8, 128, 17, 17}, {row, 128}, ConvAlgorithm::winograd_parts},
        {forward, {8, 384, 8, 8}, {column, 384}, ConvAlgorithm::winograd},
        {forward, {4, 32, 14, 14}, {same, 32, 32}, ConvAlgorithm::depthwise},
        {forward, {4, 1, 28, 28}, {{5, 5}, 30}, ConvAlgorithm::direct},
        {forward, {4, 256, 14, 14}, {{}, 64}, ConvAlgorithm::pointwise_in_place},
        {forward, {1, 256, 14, 14}, {{}, 128}, ConvAlgorithm::pointwise_in_place},
        {forward, {8, 256, 14, 14}, {{}, 128}, ConvAlgorithm::pointwise},
        {forward, {1, 4, 128, 128}, {Window2d::square(8, 4, 4), 64}, ConvAlgorithm::winograd},
        {forward, {8, 4, 128, 128}, {Window2d::square(16, 12, 8), 64}, ConvAlgorithm::im2col},
        {forward, {4, 3, 64, 64}, {seven, 32}, ConvAlgorithm::winograd_parts},
        {forward, {4, 3, 64, 64}, {seven, 16}, ConvAlgorithm::direct},
        {forward, {4, 256, 56, 56}, {{1, 1, 2, 2}, 64}, ConvAlgorithm::pointwise_strided},
        {forward, {4, 256, 28, 28}, {{1, 1, 2, 2}, 512}, ConvAlgorithm::pointwise_strided},
        {forward, {4, 256, 14, 14}, {{1, 1, 2, 2}, 512}, ConvAlgorithm::im2col},
        {forward, {1, 512, 7, 7}, {same, 512}, ConvAlgorithm::few_pixels},
        {forward, {1, 256, 14, 14}, {halving, 512}, ConvAlgorithm::few_pixels},
        {forward, {4, 64, 56, 56}, {halving, 128}, ConvAlgorithm::im2col},
        {input_grad, {4, 64, 28, 28}, {same, 64}, ConvAlgorithm::winograd},
        {input_grad, {4, 1, 128, 128}, {Window2d::square(12, 4, 6), 64}, ConvAlgorithm::winograd},
        {input_grad, {2, 64, 10, 10}, {Window2d::square(4, 2), 512}, ConvAlgorithm::patches},
        {input_grad, {4, 64, 28, 28}, {seven, 64}, ConvAlgorithm::winograd_parts},
        {input_grad, {4, 64, 28, 28}, {dilated, 64}, ConvAlgorithm::winograd_dilated},
        {input_grad, {8, 128, 17, 17}, {row, 128}, ConvAlgorithm::winograd_parts},
        {input_grad, {8, 384, 8, 8}, {column, 384}, ConvAlgorithm::winograd},
        {input_grad, {4, 32, 14, 14}, {same, 32, 32}, ConvAlgorithm::depthwise},
        {input_grad, {16, 3, 32, 32}, {halving, 8}, ConvAlgorithm::patches},
        {input_grad, {4, 256, 14, 14}, {{}, 64}, ConvAlgorithm::phases},
        {weight_grad, {4, 64, 28, 28}, {same, 64}, ConvAlgorithm::winograd},
        {weight_grad, {4, 64, 28, 28}, {seven, 64}, ConvAlgorithm::winograd_parts},
        {weight_grad, {4, 64, 28, 28}, {dilated, 64}, ConvAlgorithm::winograd_dilated},
        {weight_grad, {8, 128, 17, 17}, {row, 128}, ConvAlgorithm::winograd_parts},
        {weight_grad, {8, 384, 8, 8}, {column, 384}, ConvAlgorithm::winograd},
        {weight_grad, {4, 32, 14, 14}, {same, 32, 32}, ConvAlgorithm::depthwise},
        {weight_grad, {4, 1, 28, 28}, {{5, 5}, 30}, ConvAlgorithm::direct},
        {weight_grad, {4, 256, 14, 14}, {{}, 64}, ConvAlgorithm::im2col},
    };
    for (const Choice& c : choices) {
        const ConvPlan plan = conv2d_plan(c.x, c.conv, c.pass);
        EXPECT_STREQ(name_of(plan.algorithm), name_of(c.chosen));
        for (const ConvWay& way : conv2d_ways(c.pass)) {
            if (way.algorithm == c.chosen) {
                EXPECT_STREQ(plan.reason, way.reason);
            }
        }
    }
}

TEST(Conv2dWays, RefusalsSayWhy) {
    const Shape4 x = {2, 4, 16, 16};
    const Conv2d same = {Window2d::square(3, 1, 1), 4}, one = {{}, 4};
    const Conv2d dilated = {{3, 3, 1, 1, 0, 0, 0, 0, 2, 2}, 4};
    const Conv2d both = {{3, 3, 2, 2, 0, 0, 0, 0, 2, 2}, 4}, depthwise = {same.window, 4, 4};
    const Conv2d tall = {{8, 3}, 4, 4}, doubled = {same.window, 8, 4}, padded = {{.pad_top = 1}, 4};
    const Conv2d far = {{3, 3, 1, 1, 99999, 99999, 99999, 99999, 99999, 99999}, 4};
    const Conv2d around = {Window2d::square(2, 1, 5), 4};
    constexpr ConvPass forward = ConvPass::forward, input_grad = ConvPass::input_grad,
                       weight_grad = ConvPass::weight_grad;
    struct Refused {
        ConvAlgorithm algorithm;
        ConvPass pass;
        Conv2d conv;
        const char* why;
    };
    const Refused all[] = {
        {ConvAlgorithm::winograd, forward, one, "algorithm winograd takes kernels that are 2 to 5"},
        {ConvAlgorithm::winograd, weight_grad, both, "winograd takes no dilation together with"},
        {ConvAlgorithm::winograd_parts, forward, same, "winograd_parts takes kernels of up to 12"},
        {ConvAlgorithm::winograd_parts, input_grad, dilated, "winograd_parts takes no dilation"},
        {ConvAlgorithm::winograd_dilated, forward, same, "winograd_dilated takes a dilation"},
        {ConvAlgorithm::winograd_dilated, weight_grad, both, "winograd_dilated takes no stride"},
        {ConvAlgorithm::depthwise, forward, same, "depthwise takes one channel per group"},
        {ConvAlgorithm::depthwise, forward, tall, "depthwise takes kernels of up to 7 rows"},
        {ConvAlgorithm::depthwise, input_grad, doubled, "depthwise takes one filter per group for"},
        {ConvAlgorithm::direct, forward, far, "direct takes no window that is dilated this far"},
        {ConvAlgorithm::direct, weight_grad, far, "direct takes no window that is dilated this"},
        {ConvAlgorithm::pointwise, forward, same, "pointwise takes 1x1 windows with stride 1"},
        {ConvAlgorithm::pointwise_in_place, forward, same, "pointwise_in_place takes 1x1 windows"},
        {ConvAlgorithm::pointwise_strided, forward, padded, "pointwise_strided takes 1x1 windows"},
        {ConvAlgorithm::few_pixels, forward, depthwise, "few_pixels takes one group"},
        {ConvAlgorithm::phases, input_grad, both, "phases takes no dilation together with a"},
        {ConvAlgorithm::phases, input_grad, around, "phases takes no padding wider than"},
        {ConvAlgorithm::sparse, weight_grad, same, "sparse takes the gradient of a max pooling"},
    };
    for (const Refused& r : all) {
        const std::string said = refusal(x, asking(r.conv, r.algorithm), r.pass);
        EXPECT_NE(said.find(r.why), std::string::npos) << said << ", not: " << r.why;
    }
}

/// Even for an empty batch.
TEST(Conv2dWays, RefusalsComeBeforeTheWork) {
    const Shape4 none = {0, 4, 16, 16};
    const Conv2d conv = {{3, 3}, 4, 1, ConvAlgorithm::pointwise};
    EXPECT_THROW(conv2d<float>({nullptr, none}, nullptr, nullptr, conv, {nullptr, {0, 4, 14, 14}}),
                 std::invalid_argument);
}

/// A pass without an algorithm of this name chooses automatically, and says so.
TEST(Conv2dWays, NamesOfOtherPasses) {
    const Shape4 x = {2, 4, 16, 16};
    const Conv2d conv = {{3, 3}, 4};
    for (const ConvPass pass : kPasses) {
        const Algorithms own = conv_algorithms(pass);
        const ConvPlan chosen = conv2d_plan(x, conv, pass);
        for (const ConvPass other : kPasses) {
            for (const ConvAlgorithm name : conv_algorithms(other)) {
                if (std::find(own.begin(), own.end(), name) != own.end()) continue;
                const ConvPlan plan = conv2d_plan(x, asking(conv, name), pass);
                EXPECT_EQ(plan.algorithm, chosen.algorithm);
                EXPECT_STREQ(plan.reason, chosen.reason);
            }
        }
    }
}

/// "im2col" and "winograd" stand for several algorithms: each selects the first that fits and pays,
/// or the first that fits.
TEST(Conv2dWays, Families) {
    const auto planned = [](const Shape4& x, const Conv2d& conv, ConvAlgorithm asked,
                            ConvPass pass = ConvPass::forward) {
        const ConvPlan plan = conv2d_plan(x, asking(conv, asked), pass);
        EXPECT_STREQ(plan.reason, "asked for");
        return plan.algorithm;
    };
    constexpr ConvAlgorithm product = ConvAlgorithm::im2col, tiles = ConvAlgorithm::winograd;
    const Shape4 x = {1, 64, 8, 8};
    const Window2d same = Window2d::square(3, 1, 1);
    EXPECT_EQ(planned(x, {{}, 4}, product), ConvAlgorithm::pointwise_in_place);
    EXPECT_EQ(planned({1, 600, 8, 8}, {{}, 4}, product), ConvAlgorithm::pointwise);
    EXPECT_EQ(planned({1, 600, 8, 8}, {{}, 64}, product), ConvAlgorithm::few_pixels);
    EXPECT_EQ(planned({1, 64, 64, 64}, {{.stride_w = 2}, 64}, product),
              ConvAlgorithm::pointwise_strided);
    EXPECT_EQ(planned(x, {same, 96}, product), ConvAlgorithm::few_pixels);
    EXPECT_EQ(planned(x, {same, 4}, product), ConvAlgorithm::im2col);
    EXPECT_EQ(planned(x, {same, 4}, product, ConvPass::input_grad), ConvAlgorithm::phases);
    EXPECT_EQ(planned(x, {Window2d::square(3, 2), 4}, product, ConvPass::input_grad),
              ConvAlgorithm::patches);
    EXPECT_EQ(planned(x, {{}, 1}, product, ConvPass::weight_grad), ConvAlgorithm::im2col);
    EXPECT_EQ(planned(x, {same, 1}, tiles), ConvAlgorithm::winograd);
    EXPECT_EQ(planned(x, {{7, 3}, 1}, tiles), ConvAlgorithm::winograd_parts);
    EXPECT_EQ(planned(x, {{3, 3, 1, 1, 0, 0, 0, 0, 2, 1}, 1}, tiles),
              ConvAlgorithm::winograd_dilated);
}

/// The cases reach every algorithm.
TEST(Conv2dWays, CasesReachEveryWay) {
    for (const ConvPass pass : kPasses) {
        std::set<ConvAlgorithm> reached = {ConvAlgorithm::sparse};
        for (const ConvCase& c : kConvCases) {
            for (const ConvAlgorithm name : conv_algorithms(pass)) {
                const auto plan =
                    c.x.n > 0 ? plan_for(c.x, asking(c.conv, name), pass) : std::nullopt;
                if (plan) reached.insert(plan->algorithm);
            }
        }
        for (const ConvWay& way : conv2d_ways(pass)) {
            EXPECT_EQ(reached.count(way.algorithm), 1U) << name_of(way.algorithm);
        }
    }
}

}  // namespace
}  // namespace pocketcnn::tests
