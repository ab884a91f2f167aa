// Convolution, activation and average pooling as one operation against the naive convolution and
// the library's own activation and pooling, which have tests of their own.
#include <pocketcnn/averaged_conv.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "conv_cases.h"
#include "fields.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

struct AveragedCase {
    std::string name;
    Shape4 x;
    AveragedConv block;

    Shape4 maps() const { return reference::conv2d_shape(x, block.conv); }
    Shape4 y() const { return reference::pool2d_shape(maps(), block.pool); }
    index_t weights() const {
        return block.conv.filters * (x.c / block.conv.groups) * block.conv.window.taps();
    }
};

constexpr Pool2d kHalf = {{.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2}};
constexpr Pool2d kOverlap = {{.kernel_h = 3,
                              .kernel_w = 3,
                              .stride_h = 2,
                              .stride_w = 2,
                              .pad_top = 1,
                              .pad_bottom = 1,
                              .pad_left = 1,
                              .pad_right = 1},
                             true};
constexpr Window2d kConv5 = {.kernel_h = 5, .kernel_w = 5};
constexpr Window2d kConv3 = {
    .kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_bottom = 1, .pad_left = 1, .pad_right = 1};

/// Its sums round as little as the reference allows; those of Winograd do not.
constexpr ConvAlgorithm kExact = ConvAlgorithm::im2col;

const AveragedCase kAveragedCases[] = {
    {"first_of_lenet", {19, 1, 28, 28}, {{kConv5, 6}, Activation::sigmoid, kHalf, true}},
    {"second_of_lenet", {9, 6, 14, 14}, {{kConv5, 16, 1, kExact}, Activation::tanh, kHalf, true}},
    {"few_images", {3, 2, 13, 11}, {{kConv3, 5}, Activation::sigmoid, kOverlap, false}},
    {"padding_counts", {8, 3, 12, 13}, {{kConv3, 4}, Activation::tanh, kOverlap, true}},
    {"groups", {10, 4, 9, 9}, {{kConv3, 6, 2}, Activation::relu, kHalf, false}},
    {"matrix_product", {8, 16, 16, 16}, {{kConv3, 18, 1, kExact}, Activation::tanh, kHalf, true}},
    {"empty_batch", {0, 1, 8, 8}, {{kConv3, 2}, Activation::sigmoid, kHalf, true}},
};

/// The operands of one case and the library's results.
template <typename T>
struct Result {
    explicit Result(const AveragedCase& c)
        : random(c.name),
          x(random, c.x.size()),
          weight(random, c.weights()),
          bias(random, c.block.conv.filters),
          dy(random, c.y().size()),
          maps(c.maps().size()),
          y(c.y().size()),
          dx(c.x.size()),
          dweight(c.weights()),
          dbias(c.block.conv.filters) {
        averaged_conv<T>({x.data(), c.x}, weight.data(), bias.data(), c.block,
                         {maps.data(), c.maps()}, {y.data(), c.y()});
        averaged_conv_backward<T>({dy.data(), c.y()}, maps.data(), {x.data(), c.x}, weight.data(),
                                  c.block, {dx.data(), dweight.data(), dbias.data()});
    }

    Random random;
    RandomArray<T> x, weight, bias, dy;
    Guarded<T> maps, y, dx, dweight, dbias;
};

template <typename T>
void check(const AveragedCase& c) {
    SCOPED_TRACE(c.name + (sizeof(T) == sizeof(float) ? ", float" : ", double"));
    const auto allowed = [&](const Sums& sums, ConvPass pass) {
        return allowances(sums, conv2d_plan(c.x, c.block.conv, pass).algorithm);
    };
    const Result<T> result(c);
    const Sums before = allowed(reference::conv2d(result.x.data(), c.x, result.weight.data(),
                                                  result.bias.data(), c.block.conv),
                                ConvPass::forward);
    std::vector<T> maps(before.size()), y(c.y().size()), dmaps(before.size());
    for (std::size_t i = 0; i < before.size(); ++i) maps[i] = static_cast<T>(before[i].value);
    activate(c.block.activation, maps.data(), maps.data(), c.maps().size());
    // No activation is steeper than 1.
    for (std::size_t i = 0; i < before.size(); ++i) {
        ASSERT_NEAR(result.maps[i], maps[i], 2 * tolerance<T>(before[i])) << "element " << i;
    }
    avg_pool2d<T>({result.maps.data(), c.maps()}, c.block.pool, c.block.count_include_pad,
                  {y.data(), c.y()});
    EXPECT_TRUE(same_bits(result.y.copy(), y));
    EXPECT_TRUE(result.y.margins_intact() && result.maps.margins_intact());

    avg_pool2d_backward<T>({result.dy.data(), c.y()}, c.block.pool, c.block.count_include_pad,
                           {dmaps.data(), c.maps()});
    activate_backward(c.block.activation, dmaps.data(), result.maps.data(), dmaps.data(),
                      c.maps().size());
    expect_sums(result.dweight, allowed(reference::conv2d_backward_weight(
                                            dmaps.data(), result.x.data(), c.x, c.block.conv),
                                        ConvPass::weight_grad));
    expect_sums(result.dbias, reference::conv2d_backward_bias(dmaps.data(), c.maps()));
    expect_sums(result.dx, allowed(reference::conv2d_backward_input(
                                       dmaps.data(), result.weight.data(), c.block.conv, c.x),
                                   ConvPass::input_grad));
}

class AveragedConvTest : public IsaCaseTest<AveragedCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(AveragedConvTest, AveragedCase, kAveragedCases);

TEST_P(AveragedConvTest, ForwardAndGradients) {
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

const AveragedCase kWays[] = {
    {"few_filters", {3, 2, 11, 13}, {{kAskew, 6}, Activation::tanh, kOverlap, false}},
    {"sliced", {9, 4, 11, 12}, {{kAskew, 6, 2}, Activation::sigmoid, kOverlap, true}},
    {"depthwise", {8, 6, 11, 12}, {{kAskew, 6, 6}, Activation::relu, kOverlap, true}},
    {"winograd", {2, 12, 10, 11}, {{kConv3, 12}, Activation::sigmoid, kOverlap, false}},
};

class AveragedConvFieldsTest : public IsaCaseTest<AveragedCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(AveragedConvFieldsTest, AveragedCase, kWays);

TEST_P(AveragedConvFieldsTest, OfTheConvolution) {
    for_every_field(test_case().block.conv, [&](const std::string& name, const Conv2d& conv) {
        AveragedCase c = test_case();
        c.name += " with " + name;
        c.block.conv = conv;
        check<float>(c);
        check<double>(c);
    });
}

TEST_P(AveragedConvFieldsTest, OfThePooling) {
    for_every_field(kWide, [&](const std::string& name, const Window2d& window) {
        if (window.dilation_h > 1 || window.dilation_w > 1) return;  // average pooling has none
        for (const bool ceil_mode : {false, true}) {
            AveragedCase c = test_case();
            c.name += " pooled with " + name + (ceil_mode ? " in ceil mode" : "");
            c.block.pool = {window, ceil_mode};
            check<float>(c);
        }
    });
}

class AveragedConvThreadsTest : public ThreadTest {};

TEST_F(AveragedConvThreadsTest, SameBitsForAnyTeam) {
    const AveragedCase c = {
        "threads", {40, 6, 14, 14}, {{kConv5, 16}, Activation::sigmoid, kHalf, true}};
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

TEST(AveragedConv, RefusesWhatDoesNotFit) {
    const AveragedCase c = {
        "refused", {2, 1, 12, 12}, {{kConv5, 3}, Activation::tanh, kHalf, true}};
    Result<float> result(c);
    Shape4 wrong = c.y();
    ++wrong.h;
    EXPECT_THROW(
        averaged_conv<float>({result.x.data(), c.x}, result.weight.data(), nullptr, c.block,
                             {result.maps.data(), c.maps()}, {result.y.data(), wrong}),
        std::invalid_argument);
}

}  // namespace
}  // namespace pocketcnn::tests
