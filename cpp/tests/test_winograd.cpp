// The Winograd convolution, requested by name: every kernel size it takes, strides, sizes around
// its tiles, blocks and panels, and the same bits for any number of threads.
#include <pocketcnn/conv2d.h>

#include <stdexcept>
#include <string>

#include "conv_cases.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

/// Checks every pass; a case that does not fit tiles is an error of the test.
void check_all(const ConvCase& c) {
    SCOPED_TRACE(c.name);
    EXPECT_TRUE(takes_tiles(c));
    const Algorithms tiles = {ConvAlgorithm::automatic, ConvAlgorithm::winograd};
    check_forward<float>(c, true, tiles);
    check_forward<double>(c, false, tiles);
    check_input_grad<float>(c, tiles);
    check_input_grad<double>(c, tiles);
    check_weight_grad<float>(c, tiles);
    check_weight_grad<double>(c, tiles);
}

class WinogradTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(WinogradTest);

TEST_P(WinogradTest, SharedCases) {
    index_t ran = 0;
    for (const ConvCase& c : kConvCases) {
        if (!takes_tiles(c)) continue;
        check_all(c);
        ++ran;
    }
    EXPECT_GE(ran, 15);
}

Window2d padded(index_t kernel_h, index_t kernel_w, index_t stride, index_t padding) {
    return {kernel_h, kernel_w, stride, stride, padding, padding, padding, padding, 1, 1};
}

TEST_P(WinogradTest, EveryKernelAndRaggedTiles) {
    for (index_t kh = 1; kh <= 5; ++kh) {
        for (index_t kw = kh == 1 ? 2 : 1; kw <= 5; ++kw) {
            const index_t h = 5 + (3 * kh + kw) % 7, w = 5 + (kh + 5 * kw) % 9;
            const std::string name = std::to_string(kh) + " by " + std::to_string(kw);
            check_all({name, {2, 1 + kh, h, w}, {padded(kh, kw, 1, (kh + kw) % 3), 1 + 3 * kw}});
        }
    }
}

/// Kernels that are cut into parts, along one axis or both, up to the longest.
TEST_P(WinogradTest, LongKernels) {
    for (index_t k = 6; k <= 12; ++k) {
        const std::string name = std::to_string(k);
        const index_t other = 2 + k % 5;
        check_all({name + " square", {2, 3, k + 7, k + 4}, {padded(k, k, 1, k % 4), 5}});
        check_all({name + " high", {1, 4, k + 2, 9}, {padded(k, other, 1, 1), 3}});
        check_all({name + " wide, groups", {3, 4, 8, k + 5}, {padded(other, k, 1, 1), 6, 2}});
        check_all({name + " row", {2, 4, 5, k + 6}, {padded(1, k, 1, k / 2), 6, 2}});
        check_all({name + " column", {2, 3, k + 6, 5}, {padded(k, 1, 1, k / 2), 7}});
    }
    check_all({"padded by more than the kernel", {1, 3, 5, 6}, {padded(7, 7, 1, 9), 2}});
    check_all({"dilated", {2, 2, 17, 19}, {{7, 3, 1, 1, 6, 6, 1, 2, 2, 1}, 3}});
    check_all({"dilated row", {2, 2, 17, 19}, {{1, 7, 1, 1, 0, 0, 6, 5, 2, 2}, 3}});
    check_all({"several batches in double", {3, 1, 1500, 500}, {padded(6, 2, 1, 1), 1}});
}

TEST_P(WinogradTest, GroupsAndDilations) {
    for (index_t dilation = 1; dilation <= 4; ++dilation) {
        for (index_t padding = 0; padding <= 5; ++padding) {
            const index_t other = 1 + (dilation + padding) % 3;
            const Window2d window = {3,           2,       1,           1,        padding,
                                     padding / 2, padding, padding + 1, dilation, other};
            const std::string name =
                "dilation " + std::to_string(dilation) + ", padding " + std::to_string(padding);
            check_all({name, {2, 6, 11 + padding, 13}, {window, 9, 3}});
        }
    }
}

TEST_P(WinogradTest, SmallImages) {
    for (index_t h = 1; h <= 10; ++h) {
        for (index_t w = 1; w <= 10; ++w) {
            const std::string name = std::to_string(h) + " by " + std::to_string(w);
            check_all({name, {1 + w % 3, 1 + h % 3, h, w}, {padded(3, 3, 1, 1), 2 + w % 4}});
            if (HasFailure()) return;
        }
    }
}

TEST_P(WinogradTest, Strides) {
    for (index_t stride = 2; stride <= 4; ++stride) {
        for (index_t taps = 2; taps <= 5; ++taps) {
            for (const index_t fewer : {0, 1}) {
                const index_t kernel = stride * taps - fewer;
                const std::string name =
                    std::to_string(kernel) + " stride " + std::to_string(stride);
                check_all({name,
                           {1, 2, kernel + 3 * taps, kernel + 5},
                           {padded(kernel, kernel, stride, taps % 3 * fewer), 5}});
            }
        }
    }
}

/// Channels and filters around the vectors and panels of every instruction set.
TEST_P(WinogradTest, ChannelsAndFilters) {
    for (const index_t lanes : {1, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 49}) {
        const std::string name = std::to_string(lanes);
        check_all({name + " channels", {1, lanes, 5, 7}, {padded(3, 3, 1, 1), 3}});
        check_all({name + " filters", {1, 2, 7, 5}, {padded(3, 3, 1, 1), lanes}});
    }
}

/// Blocks that threads share, rows longer than a strip, and more tiles than a block.
TEST_P(WinogradTest, BlocksAndStrips) {
    check_all({"shared", {1, 300, 9, 9}, {padded(3, 3, 1, 1), 35}});
    check_all({"wide", {1, 2, 6, 205}, {padded(3, 3, 1, 1), 3}});
    check_all({"wide_strided", {1, 2, 13, 205}, {padded(4, 4, 2, 1), 3}});
    check_all({"many_tiles", {5, 3, 37, 41}, {padded(3, 3, 1, 1), 3}});
    check_all({"no_tiles", {0, 1100, 6, 6}, {padded(3, 3, 1, 1), 3}});
    check_all({"shared lines", {1, 1900, 9, 9}, {{3, 1}, 35}});
    check_all({"long row of lines", {1, 2, 3, 705}, {{1, 3}, 3}});
    check_all({"columns side by side", {2, 3, 16, 205}, {{5, 1}, 3}});
    check_all({"many lines", {5, 3, 37, 41}, {{1, 4}, 3}});
}

TEST_P(WinogradTest, SameBitsForAnyNumberOfThreads) {
    const KeepThreads keep;
    const ConvCase cases[] = {
        {"private", {4, 20, 29, 31}, {padded(3, 3, 1, 1), 40}},
        {"shared", {8, 300, 13, 13}, {padded(3, 3, 1, 1), 70}},
        {"strided", {3, 3, 79, 83}, {padded(11, 11, 4, 2), 24}},
        {"parts", {3, 20, 19, 21}, {padded(7, 7, 1, 3), 40}},
        {"row in parts", {4, 40, 17, 17}, {{1, 7}, 40}},
        {"column", {8, 40, 29, 31}, {{3, 1}, 72}},
        {"shared column", {8, 1900, 8, 8}, {{3, 1}, 70}},
        {"one chunk", {9, 40, 13, 13}, {padded(3, 3, 1, 1), 72}},
        {"groups, dilated", {4, 40, 29, 31}, {{3, 3, 1, 1, 1, 2, 3, 4, 3, 2}, 40, 2}}};
    for (ConvCase c : cases) {
        SCOPED_TRACE(c.name);
        c.conv.algorithm = ConvAlgorithm::winograd;
        const ConvOperands<float> o(c);
        std::vector<float> first[3];
        for (const auto& [team, threads] : crews({1, 2, 3, 8})) {
            use(team, threads);
            std::vector<float> y(c.y().size()), dx(c.x.size()), dweight(c.weights());
            conv2d<float>(o.x_view(), o.weight.data(), nullptr, c.conv, {y.data(), o.y_shape});
            conv2d_backward_input<float>(o.dy_view(), o.weight.data(), c.conv, {dx.data(), c.x});
            conv2d_backward_weight<float>(o.dy_view(), o.x_view(), c.conv, dweight.data());
            if (threads == 1) {
                first[0] = y, first[1] = dx, first[2] = dweight;
            } else {
                EXPECT_TRUE(same_bits(y, first[0]))
                    << team << ", " << threads << " threads, forward";
                EXPECT_TRUE(same_bits(dx, first[1])) << team << ", " << threads << " threads, dx";
                EXPECT_TRUE(same_bits(dweight, first[2]))
                    << team << ", " << threads << " threads, dweight";
            }
        }
    }
}

TEST(WinogradPlan, RefusesWhatItCannotCompute) {
    const Shape4 x = {1, 4, 16, 16};
    const Conv2d refused[] = {{padded(1, 1, 1, 0), 4, 1, ConvAlgorithm::winograd},
                              {padded(3, 1, 2, 0), 4, 1, ConvAlgorithm::winograd},
                              {padded(4, 2, 2, 0), 4, 1, ConvAlgorithm::winograd},
                              {padded(13, 3, 1, 0), 4, 1, ConvAlgorithm::winograd},
                              {padded(3, 3, 3, 0), 4, 1, ConvAlgorithm::winograd},
                              {{3, 3, 2, 2, 0, 0, 0, 0, 2, 1}, 4, 1, ConvAlgorithm::winograd}};
    for (const Conv2d& conv : refused) {
        for (const ConvPass pass :
             {ConvPass::forward, ConvPass::input_grad, ConvPass::weight_grad}) {
            EXPECT_THROW(conv2d_plan(x, conv, pass), std::invalid_argument);
        }
    }
}

}  // namespace
}  // namespace pocketcnn::tests
