// The steps of a block in every order that it knows: the convolution against the naive one, the
// other steps against the library's own, which have tests of their own.
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/conv_block.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "conv_cases.h"
#include "fields.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

struct StepsCase {
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

constexpr Pool2d kHalf = {Window2d::square(2, 2)};
constexpr Pool2d kOverlap = {Window2d::square(3, 2, 1), true};
constexpr Window2d kConv5 = Window2d::square(5);
constexpr Window2d kConv3 = Window2d::square(3, 1, 1);

/// Its sums round as little as the reference's allow, which Winograd's do not.
constexpr ConvAlgorithm kExact = ConvAlgorithm::im2col;

constexpr Activation kRelu = Activation::relu, kSigmoid = Activation::sigmoid,
                     kTanh = Activation::tanh;

BlockPool average(const Pool2d& pool, bool count_include_pad) {
    return {pool, PoolKind::average, count_include_pad};
}

const StepsCase kStepsCases[] = {
    {"first_of_lenet", {19, 1, 28, 28}, {{kConv5, 6}, kSigmoid, average(kHalf, true)}},
    {"second_of_lenet", {9, 6, 14, 14}, {{kConv5, 16, 1, kExact}, kTanh, average(kHalf, true)}},
    {"few_images", {3, 2, 13, 11}, {{kConv3, 5}, kSigmoid, average(kOverlap, false)}},
    {"padding_counts", {8, 3, 12, 13}, {{kConv3, 4}, kTanh, average(kOverlap, true)}},
    {"groups", {10, 4, 9, 9}, {{kConv3, 6, 2}, kRelu, average(kHalf, false)}},
    {"matrix_product", {8, 16, 16, 16}, {{kConv3, 18, 1, kExact}, kTanh, average(kHalf, true)}},
    {"empty_batch", {0, 1, 8, 8}, {{kConv3, 2}, kSigmoid, average(kHalf, true)}},
    {"alone", {9, 2, 11, 12}, {{kConv3, 4}, {}, {}}},
    {"activation", {9, 2, 11, 12}, {{kConv3, 4}, kSigmoid, {}}},
    {"activation_of_few_images", {2, 3, 11, 12}, {{kConv5, 4}, kTanh, {}}},
    {"average_alone", {9, 2, 11, 12}, {{kConv3, 4}, {}, average(kOverlap, false)}},
    {"maximum_alone", {9, 2, 12, 12}, {{kConv3, 4}, {}, BlockPool{kHalf}}},
    {"maximum_of_groups", {3, 4, 11, 12}, {{kConv3, 4, 2}, {}, BlockPool{kOverlap}}},
    {"maximum_of_sigmoid", {9, 2, 12, 12}, {{kConv3, 4}, kSigmoid, BlockPool{kHalf}}},
    {"maximum_of_tanh", {3, 2, 11, 12}, {{kConv3, 4}, kTanh, BlockPool{kOverlap}}},
    {"maximum_of_relu", {9, 2, 11, 12}, {{kConv3, 4}, kRelu, BlockPool{kOverlap}}},
};

/// The operands of one case and what the library makes of them.
template <typename T>
struct Result {
    explicit Result(const StepsCase& c)
        : random(c.name),
          x(random, c.x.size()),
          weight(random, c.weights()),
          bias(random, c.block.conv.filters),
          dy(random, c.y().size()),
          maps(c.maps().size()),
          y(c.y().size()),
          argmax(c.y().size()),
          dx(c.x.size()),
          dweight(c.weights()),
          dbias(c.block.conv.filters) {
        conv_block<T>({x.data(), c.x}, weight.data(), bias.data(), c.block,
                      {{y.data(), c.y()}, argmax.data(), maps.data()});
        const T* activated = c.block.keeps_maps() ? maps.data() : y.data();
        conv_block_backward<T>({dy.data(), c.y()}, {activated, argmax.data()}, {x.data(), c.x},
                               weight.data(), c.block, {dx.data(), dweight.data(), dbias.data()});
    }

    Random random;
    RandomArray<T> x, weight, bias, dy;
    Guarded<T> maps, y;
    Guarded<std::int32_t> argmax;
    Guarded<T> dx, dweight, dbias;
};

/// What the pooling makes of maps; the ReLU of a block with max pooling comes behind it.
template <typename T>
void pool_maps(const StepsCase& c, const T* maps, std::vector<T>& y,
               std::vector<std::int32_t>& argmax) {
    if (c.block.pools(PoolKind::average)) {
        return avg_pool2d<T>({maps, c.maps()}, c.block.pool->pool, c.block.pool->count_include_pad,
                             {y.data(), c.y()});
    }
    max_pool2d<T>({maps, c.maps()}, c.block.pool->pool, {y.data(), c.y()}, argmax.data());
    if (c.block.ends_in_relu()) activate(kRelu, y.data(), y.data(), c.y().size());
}

/// The gradient of the convolution's results, as the layers one by one compute it.
template <typename T>
std::vector<T> gradient_of_maps(const StepsCase& c, const Result<T>& result) {
    std::vector<T> dmaps = result.dy.copy();
    if (c.block.pool) {
        dmaps.resize(c.maps().size());
        const ImageView<T> to = {dmaps.data(), c.maps()};
        if (c.block.pools(PoolKind::average)) {
            avg_pool2d_backward<T>({result.dy.data(), c.y()}, c.block.pool->pool,
                                   c.block.pool->count_include_pad, to);
        } else {
            max_pool2d_backward<T>({result.dy.data(), c.y()}, result.argmax.data(), to);
        }
    }
    if (c.block.activation) {
        activate_backward(*c.block.activation, dmaps.data(),
                          c.block.pool ? result.maps.data() : result.y.data(), dmaps.data(),
                          c.maps().size());
    }
    return dmaps;
}

template <typename T>
void check(const StepsCase& c) {
    SCOPED_TRACE(c.name + (sizeof(T) == sizeof(float) ? ", float" : ", double"));
    const auto allowed = [&](const Sums& sums, ConvPass pass) {
        return allowances(sums, conv2d_plan(c.x, c.block.conv, pass).algorithm);
    };
    const Result<T> result(c);
    const Sums before = allowed(reference::conv2d(result.x.data(), c.x, result.weight.data(),
                                                  result.bias.data(), c.block.conv),
                                ConvPass::forward);
    std::vector<T> maps(before.size()), y(c.y().size());
    std::vector<std::int32_t> argmax(c.y().size());
    for (std::size_t i = 0; i < before.size(); ++i) maps[i] = static_cast<T>(before[i].value);
    const bool rectified_later = c.block.pools(PoolKind::max) && c.block.ends_in_relu();
    if (c.block.activation && !rectified_later) {
        activate(*c.block.activation, maps.data(), maps.data(), c.maps().size());
    }
    const T* found = c.block.pool ? result.maps.data() : result.y.data();
    // No activation is steeper than 1.
    for (std::size_t i = 0; i < before.size(); ++i) {
        ASSERT_NEAR(found[i], maps[i], 2 * tolerance<T>(before[i])) << "element " << i;
    }
    if (c.block.pool) {
        pool_maps(c, result.maps.data(), y, argmax);
        EXPECT_TRUE(same_bits(result.y.copy(), y));
        EXPECT_TRUE(!c.block.pools(PoolKind::max) || same_bits(result.argmax.copy(), argmax));
    }
    EXPECT_TRUE(result.y.margins_intact() && result.maps.margins_intact());
    EXPECT_TRUE(result.argmax.margins_intact());

    const std::vector<T> dmaps = gradient_of_maps(c, result);
    expect_sums(result.dweight, allowed(reference::conv2d_backward_weight(
                                            dmaps.data(), result.x.data(), c.x, c.block.conv),
                                        ConvPass::weight_grad));
    expect_sums(result.dbias, reference::conv2d_backward_bias(dmaps.data(), c.maps()));
    expect_sums(result.dx, allowed(reference::conv2d_backward_input(
                                       dmaps.data(), result.weight.data(), c.block.conv, c.x),
                                   ConvPass::input_grad));
}

class ConvBlockStepsTest : public IsaCaseTest<StepsCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvBlockStepsTest, StepsCase, kStepsCases);

TEST_P(ConvBlockStepsTest, ForwardAndGradients) {
    check<float>(test_case());
    check<double>(test_case());
}

constexpr Window2d kAskew = {
    .kernel_h = 3, .kernel_w = 2, .pad_top = 1, .pad_bottom = 2, .pad_right = 3};

/// Padding may grow by two and is still smaller than the window.
constexpr Window2d kWide = {.kernel_h = 4,
                            .kernel_w = 5,
                            .stride_h = 2,
                            .stride_w = 3,
                            .pad_top = 1,
                            .pad_left = 1,
                            .pad_right = 2};

const StepsCase kWays[] = {
    {"few_filters", {3, 2, 11, 13}, {{kAskew, 6}, kTanh, average(kOverlap, false)}},
    {"sliced", {9, 4, 11, 12}, {{kAskew, 6, 2}, kSigmoid, average(kOverlap, true)}},
    {"depthwise", {8, 6, 11, 12}, {{kAskew, 6, 6}, kRelu, average(kOverlap, true)}},
    {"winograd", {2, 12, 10, 11}, {{kConv3, 12}, kSigmoid, average(kOverlap, false)}},
};

class ConvBlockStepsFieldsTest : public IsaCaseTest<StepsCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvBlockStepsFieldsTest, StepsCase, kWays);

TEST_P(ConvBlockStepsFieldsTest, OfTheConvolution) {
    for_every_field(test_case().block.conv, [&](const std::string& name, const Conv2d& conv) {
        StepsCase c = test_case();
        c.name += " with " + name;
        c.block.conv = conv;
        check<float>(c);
        check<double>(c);
    });
}

TEST_P(ConvBlockStepsFieldsTest, OfThePooling) {
    for_every_field(kWide, [&](const std::string& name, const Window2d& window) {
        if (window.dilation_h > 1 || window.dilation_w > 1) return;  // average pooling has none
        for (const bool ceil_mode : {false, true}) {
            StepsCase c = test_case();
            c.name += " pooled with " + name + (ceil_mode ? " in ceil mode" : "");
            c.block.pool->pool = {window, ceil_mode};
            check<float>(c);
        }
    });
}

class ConvBlockStepsThreadsTest : public ThreadTest {};

TEST_F(ConvBlockStepsThreadsTest, SameBitsForAnyTeam) {
    for (const BlockPool& pool : {average(kHalf, true), BlockPool{kOverlap}}) {
        const StepsCase c = {"threads", {40, 6, 14, 14}, {{kConv5, 16}, kSigmoid, pool}};
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
}

/// Of what the steps before it give, whether those are kept or not.
TEST(ConvBlockSteps, NormalisationComesBeforeTheActivation) {
    for (const StepsCase& c : kStepsCases) {
        SCOPED_TRACE(c.name);
        const index_t channels = c.block.conv.filters;
        Random random(c.name);
        const RandomArray<float> x(random, c.x.size()), weight(random, c.weights()),
            gamma(random, channels), beta(random, channels);
        const std::vector<double> mean(channels, 0.25), variance(channels, 2.0);
        const KnownNorm<float> norm = {gamma.data(), beta.data(), mean.data(), variance.data(),
                                       1e-3};
        std::vector<float> maps(c.maps().size()), wanted(c.y().size()), y(c.y().size());
        std::vector<std::int32_t> argmax(c.y().size()), places(c.y().size());
        conv_block<float>({x.data(), c.x}, weight.data(), nullptr, {c.block.conv, {}, {}},
                          {{maps.data(), c.maps()}});
        batch_norm_infer<float>(maps.data(), {c.x.n, channels, c.maps().plane()},
                                {gamma.data(), beta.data(), 1e-3}, {mean.data(), variance.data()},
                                maps.data());
        if (c.block.activation) {
            activate(*c.block.activation, maps.data(), maps.data(), c.maps().size());
        }
        if (c.block.pool) {
            pool_maps(c, maps.data(), wanted, places);
        } else {
            wanted = maps;
        }
        conv_block<float>({x.data(), c.x}, weight.data(), nullptr, c.block,
                          {{y.data(), c.y()}, argmax.data()}, &norm);
        EXPECT_TRUE(same_bits(y, wanted));
        EXPECT_TRUE(!c.block.pools(PoolKind::max) || same_bits(argmax, places));
    }
}

TEST(ConvBlockSteps, RefusesWhatDoesNotFit) {
    StepsCase c = {"refused", {2, 1, 12, 12}, {{kConv5, 3}, kTanh, average(kHalf, true)}};
    Result<float> result(c);
    Shape4 wrong = c.y();
    ++wrong.h;
    EXPECT_THROW(
        conv_block<float>({result.x.data(), c.x}, result.weight.data(), nullptr, c.block,
                          {{result.y.data(), wrong}, result.argmax.data(), result.maps.data()}),
        std::invalid_argument);
    c.block.dy_before_relu = true;
    EXPECT_THROW(Result<float>{c}, std::invalid_argument) << "it ends in no ReLU";
}

}  // namespace
}  // namespace pocketcnn::tests
