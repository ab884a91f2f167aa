// A depthwise convolution between two normalisations against the three operations, one after the
// other, which have tests of their own.
#include <pocketcnn/depthwise_block.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "compare.h"
#include "isa_test.h"
#include "random.h"
#include "reference.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

struct BlockCase {
    std::string name;
    Shape4 x;
    Window2d window;
    double ceiling_before = 1, ceiling_behind = 0.5;  ///< none if zero

    Conv2d conv() const { return {window, x.c, x.c}; }
    Shape4 y() const { return reference::conv2d_shape(x, conv()); }
    index_t weights() const { return x.c * window.taps(); }
};

/// Channels that are taken alone and together, with rests; planes whose sums are gathered and not;
/// windows that other algorithms take.
const BlockCase kBlockCases[] = {
    {"small_planes", {3, 70, 7, 7}, Window2d::square(3, 1, 1)},
    {"few_channels", {2, 3, 14, 13}, Window2d::square(3, 1, 1)},
    {"large_planes", {2, 19, 31, 33}, Window2d::square(3, 1, 1), 0, 2},
    {"blocks_of_a_plane", {1, 17, 70, 71}, Window2d::square(5, 1, 2), 0, 0},
    {"strided", {3, 33, 15, 16}, Window2d::square(3, 2, 1)},
    {"strided_5x5", {2, 20, 16, 15}, Window2d::square(5, 2, 2), 2, 0},
    {"dilated", {2, 18, 12, 11}, {.kernel_h = 3, .kernel_w = 2, .dilation_h = 2, .dilation_w = 3}},
    {"long", {2, 4, 12, 11}, Window2d::square(9, 1, 4)},
    {"askew", {2, 18, 9, 8}, {.kernel_h = 2, .kernel_w = 3, .pad_top = 1, .pad_right = 2}},
    {"one_value", {9, 16, 3, 3}, Window2d::square(3)},
    {"empty", {0, 5, 6, 6}, Window2d::square(3, 1, 1)},
};

template <typename T>
BatchNorm<T> norm_of(const T* gamma, const T* beta, double ceiling) {
    return ceiling == 0 ? BatchNorm<T>{gamma, beta, 1e-3}
                        : BatchNorm<T>{gamma, beta, 1e-3, true, ceiling};
}

/// What is read, and where results go.
template <typename T>
struct Operands {
    explicit Operands(const BlockCase& c)
        : random(c.name),
          x(random, c.x.size()),
          weight(random, c.weights()),
          bias(random, c.x.c),
          dy(random, c.y().size()),
          affine(random, 4 * c.x.c),
          block{c.conv(), weight.data(), bias.data(),
                norm_of(affine.data(), affine.data() + c.x.c, c.ceiling_before),
                norm_of(affine.data() + 2 * c.x.c, affine.data() + 3 * c.x.c, c.ceiling_behind)},
          statistics(4 * c.x.c),
          y(c.y().size()),
          dx(c.x.size()),
          dweight(c.weights()),
          channels(5 * c.x.c) {}

    DepthwiseStatistics<double> sums() const {
        double* s = statistics.data();
        const index_t c = block.conv.groups;
        return {s, s + c, s + 2 * c, s + 3 * c};
    }
    DepthwiseBlockGrads<T> grads() const {
        T* to = channels.data();
        const index_t c = block.conv.groups;
        return {dx.data(), dweight.data(), to, to + c, to + 2 * c, to + 3 * c, to + 4 * c};
    }
    void expect_bits_of(const Operands& other) const {
        EXPECT_TRUE(same_bits(statistics.copy(), other.statistics.copy()));
        EXPECT_TRUE(same_bits(y.copy(), other.y.copy()));
        EXPECT_TRUE(same_bits(dx.copy(), other.dx.copy()));
        EXPECT_TRUE(same_bits(dweight.copy(), other.dweight.copy()));
        EXPECT_TRUE(same_bits(channels.copy(), other.channels.copy()));
        EXPECT_TRUE(y.margins_intact() && dx.margins_intact() && dweight.margins_intact());
        EXPECT_TRUE(statistics.margins_intact() && channels.margins_intact());
    }

    Random random;
    RandomArray<T> x, weight, bias, dy, affine;
    DepthwiseBlock<T> block;
    Guarded<double> statistics;
    Guarded<T> y, dx, dweight, channels;
};

template <typename T>
void run(const BlockCase& c, const Operands<T>& o) {
    const auto [mean_before, variance_before, mean_behind, variance_behind] = o.sums();
    depthwise_block<T>({o.x.data(), c.x}, o.block, o.sums(), {o.y.data(), c.y()});
    depthwise_block_backward<T>({o.dy.data(), c.y()}, {o.x.data(), c.x}, o.block,
                                {mean_before, variance_before, mean_behind, variance_behind},
                                o.grads());
}

template <typename T>
void run_one_by_one(const BlockCase& c, const Operands<T>& o) {
    const ChannelShape in = {c.x.n, c.x.c, c.x.plane()}, out = {c.x.n, c.x.c, c.y().plane()};
    const auto [mean_before, variance_before, mean_behind, variance_behind] = o.sums();
    const auto& [dx, dweight, dbias, dgamma_before, dbeta_before, dgamma_behind, dbeta_behind] =
        o.grads();
    std::vector<T> inner(c.x.size()), outer(c.y().size()), douter(c.y().size());
    batch_norm_train(o.x.data(), in, o.block.before, mean_before, variance_before, inner.data());
    conv2d<T>({inner.data(), c.x}, o.weight.data(), o.bias.data(), c.conv(), {outer.data(), c.y()});
    batch_norm_train(outer.data(), out, o.block.behind, mean_behind, variance_behind, o.y.data());

    batch_norm_backward(o.dy.data(), outer.data(), out, o.block.behind,
                        {mean_behind, variance_behind}, true, douter.data(), dgamma_behind,
                        dbeta_behind);
    conv2d_backward_weight<T>({douter.data(), c.y()}, {inner.data(), c.x}, c.conv(), dweight,
                              dbias);
    conv2d_backward_input<T>({douter.data(), c.y()}, o.weight.data(), c.conv(),
                             {inner.data(), c.x});
    batch_norm_backward(inner.data(), o.x.data(), in, o.block.before,
                        {mean_before, variance_before}, true, dx, dgamma_before, dbeta_before);
}

template <typename T>
void check(const BlockCase& c) {
    const Operands<T> together(c), apart(c);
    run(c, together);
    run_one_by_one(c, apart);
    together.expect_bits_of(apart);
}

class DepthwiseBlockTest : public IsaCaseTest<BlockCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(DepthwiseBlockTest, BlockCase, kBlockCases);

TEST_P(DepthwiseBlockTest, BitsOfTheOperationsOneByOne) {
    check<float>(test_case());
    check<double>(test_case());
}

class DepthwiseBlockThreadsTest : public ThreadTest {};

TEST_F(DepthwiseBlockThreadsTest, SameBits) {
    const BlockCase c = {"threads", {4, 40, 28, 28}, Window2d::square(3, 1, 1)};
    set_num_threads(1);
    const Operands<float> alone(c);
    run(c, alone);
    for (const auto& [team, threads] : crews({2, 3, 8})) {
        use(team, threads);
        const Operands<float> shared(c);
        run(c, shared);
        shared.expect_bits_of(alone);
    }
}

TEST(DepthwiseBlock, RefusesWhatDoesNotFit) {
    const BlockCase c = {"refused", {2, 4, 6, 6}, Window2d::square(3, 1, 1)};
    const Operands<float> o(c);
    Shape4 wrong = c.y();
    ++wrong.h;
    EXPECT_THROW(depthwise_block<float>({o.x.data(), c.x}, o.block, o.sums(), {o.y.data(), wrong}),
                 std::invalid_argument);
    DepthwiseBlock<float> block = o.block;
    block.conv.groups = 2;
    EXPECT_THROW(depthwise_block<float>({o.x.data(), c.x}, block, o.sums(), {o.y.data(), c.y()}),
                 std::invalid_argument);
}

}  // namespace
}  // namespace pocketcnn::tests
