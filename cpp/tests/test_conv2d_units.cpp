// Convolutions that normalise the images they read: against the naive loops over images that are
// normalised in double precision, and to the bits of one step after the other, by every algorithm.
#include <pocketcnn/conv_block.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "conv_cases.h"
#include "isa_test.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

/// Pixels in units of their own for each channel, about so many deviations from zero.
template <typename T>
struct Pixels {
    Pixels(const ConvCase& c, double deviations, Edge edge = Edge::back)
        : random(c.name),
          shape(c.x),
          x(shape.size(), edge),
          weight(random, c.weights()),
          bias(random, c.conv.filters) {
        for (index_t i = 0; i < shape.c; ++i) {
            gamma.push_back(static_cast<T>(random.uniform(0.5, 2)));
            beta.push_back(static_cast<T>(random.uniform(-1, 1)));
            variance.push_back(random.uniform(0.1, 3000));
            mean.push_back(std::sqrt(variance.back()) * deviations * (i % 2 == 0 ? 1 : -1));
        }
        for (index_t i = 0; i < shape.size(); ++i) {
            const auto c = static_cast<std::size_t>(i / shape.plane() % shape.c);
            x[i] = static_cast<T>(mean[c] + std::sqrt(variance[c]) * random.uniform(-2, 2));
        }
    }

    ImageView<const T> view() const { return {x.data(), shape}; }
    KnownNorm<T> units() const {
        return {gamma.data(), beta.data(), mean.data(), variance.data(), 1e-3};
    }

    /// By the kernels, and in double precision.
    std::vector<T> normalized() const {
        std::vector<T> y(static_cast<std::size_t>(shape.size()));
        batch_norm_infer<T>(x.data(), {shape.n, shape.c, shape.plane()},
                            {gamma.data(), beta.data(), 1e-3}, {mean.data(), variance.data()},
                            y.data());
        return y;
    }
    std::vector<double> exactly_normalized() const {
        std::vector<double> y;
        for (index_t i = 0; i < shape.size(); ++i) {
            const auto c = static_cast<std::size_t>(i / shape.plane() % shape.c);
            y.push_back((double(x[i]) - mean[c]) / std::sqrt(variance[c] + 1e-3) *
                            double(gamma[c]) +
                        double(beta[c]));
        }
        return y;
    }

    Random random;
    Shape4 shape;
    Guarded<T> x;
    RandomArray<T> weight, bias;
    std::vector<T> gamma, beta;
    std::vector<double> mean, variance;
};

/// The sums of normalised images. Each pixel has four rounding errors of its own, of the scale, the
/// difference, the product and the sum with beta: of numbers up to 1, beta's largest, above what
/// the pixel is. Weights are no larger than 1.
template <typename T>
Sums sums_of(const ConvCase& c, const Pixels<T>& pixels) {
    const std::vector<double> x = pixels.exactly_normalized();
    const std::vector<double> weight(pixels.weight.begin(), pixels.weight.end());
    const std::vector<double> bias(pixels.bias.begin(), pixels.bias.end());
    Sums sums = reference::conv2d<double>(x.data(), c.x, weight.data(), bias.data(), c.conv);
    for (Sum& sum : sums) {
        sum.magnitude += static_cast<double>(sum.terms);
        sum.terms += 4;
    }
    return sums;
}

const ConvCase kUnitsCases[] = {
    {"several_blocks", {1, 3, 130, 71}, {Window2d::square(3, 2, 1), 32}},
    {"several_bands", {1, 80, 40, 41}, {Window2d::square(3, 1, 1), 6}},
    {"rows_of_vectors", {2, 3, 37, 64}, {Window2d::square(7, 2, 3), 24}},
    {"four_channels_in_two_groups", {3, 4, 19, 23}, {{.kernel_h = 3, .kernel_w = 3}, 12, 2}},
    // Images that are dilated so far that they are gathered pixel by pixel.
    {"gathered",
     {1, 1, 1030, 1040},
     {{.kernel_h = 2,
       .kernel_w = 2,
       .pad_top = 2,
       .pad_left = 3,
       .dilation_h = 1025,
       .dilation_w = 1033},
      9}},
};

template <typename T>
void check_units(const ConvCase& c) {
    for (const double deviations : {0.5, 100.0}) {
        const Pixels<T> back(c, deviations), front(c, deviations, Edge::front);
        const Sums wanted = sums_of(c, back);
        const std::vector<T> normalized = back.normalized();
        const KnownNorm<T> units = back.units();
        for (const ConvAlgorithm algorithm : conv_algorithms(ConvPass::forward)) {
            SCOPED_TRACE(c.name + ", " + name_of(algorithm) + ", " + std::to_string(sizeof(T)));
            Conv2d conv = c.conv;
            conv.algorithm = algorithm;
            const std::optional<ConvPlan> plan = plan_for(c.x, conv, ConvPass::forward);
            if (!plan) continue;
            const auto run = [&](ImageView<const T> x, const KnownNorm<T>* norm) {
                const Guarded<T> y(c.y().size());
                conv2d<T>(x, back.weight.data(), back.bias.data(), conv, {y.data(), c.y()}, {},
                          nullptr, norm);
                EXPECT_TRUE(y.margins_intact());
                return y.copy();
            };
            const std::vector<T> y = run(back.view(), &units);
            expect_sums(y.data(), allowances(wanted, plan->algorithm));
            EXPECT_TRUE(same_bits(y, run({normalized.data(), c.x}, nullptr)));
            EXPECT_TRUE(same_bits(y, run(front.view(), &units))) << "alignment matters";
        }
    }
}

class Conv2dUnitsTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(Conv2dUnitsTest);

TEST_P(Conv2dUnitsTest, EveryCase) {
    for (const ConvCase& c : kConvCases) {
        check_units<float>(c);
        check_units<double>(c);
    }
}

TEST_P(Conv2dUnitsTest, LargeShapes) {
    for (const ConvCase& c : kUnitsCases) {
        check_units<float>(c);
        check_units<double>(c);
    }
}

/// What is not finite passes as it does step by step.
TEST_P(Conv2dUnitsTest, NotFinite) {
    const ConvCase c = {"not_finite", {2, 3, 12, 21}, {Window2d::square(3, 1, 1), 5}};
    Pixels<float> pixels(c, 1);
    pixels.x[7] = std::numeric_limits<float>::quiet_NaN();
    pixels.x[300] = std::numeric_limits<float>::infinity();
    pixels.x[700] = -std::numeric_limits<float>::infinity();
    const std::vector<float> normalized = pixels.normalized();
    const KnownNorm<float> units = pixels.units();
    for (const ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::im2col}) {
        Conv2d conv = c.conv;
        conv.algorithm = algorithm;
        const Guarded<float> y(c.y().size()), wanted(c.y().size());
        conv2d<float>(pixels.view(), pixels.weight.data(), nullptr, conv, {y.data(), c.y()}, {},
                      nullptr, &units);
        conv2d<float>({normalized.data(), c.x}, pixels.weight.data(), nullptr, conv,
                      {wanted.data(), c.y()});
        index_t not_finite = 0;
        for (index_t i = 0; i < y.size(); ++i) {
            expect_near(y[i], double(wanted[i]), 0);
            not_finite += std::isfinite(y[i]) ? 0 : 1;
        }
        EXPECT_GT(not_finite, 0);
        EXPECT_LT(not_finite, y.size());
    }
}

/// A block that is cut into slices of images, with a normalisation at either end.
TEST_P(Conv2dUnitsTest, Blocks) {
    const ConvCase c = {"block", {19, 3, 14, 15}, {Window2d::square(5, 1, 2), 7}};
    const Pixels<float> pixels(c, 10);
    const Pixels<float> behind({"behind", c.y(), {}}, 1);
    const ConvBlock block = {c.conv, Activation::relu, BlockPool{{Window2d::square(2, 2)}}};
    const Shape4 shape = conv_block_output_shape(c.x, block);
    const std::vector<float> normalized = pixels.normalized();
    const KnownNorm<float> units = pixels.units(), norm = behind.units();
    const auto run = [&](ImageView<const float> x, const KnownNorm<float>* in_front) {
        const Guarded<float> y(shape.size());
        std::vector<std::int32_t> argmax(static_cast<std::size_t>(shape.size()));
        conv_block<float>(x, pixels.weight.data(), pixels.bias.data(), block,
                          {{y.data(), shape}, argmax.data()}, &norm, nullptr, in_front);
        return y.copy();
    };
    EXPECT_TRUE(same_bits(run(pixels.view(), &units), run({normalized.data(), c.x}, nullptr)));
}

TEST(Conv2dUnitsThreadsTest, SameBits) {
    const KeepThreads keep;
    const ConvCase cases[] = {kUnitsCases[0],
                              kUnitsCases[2],
                              {"tiles", {2, 12, 21, 22}, {Window2d::square(3, 1, 1), 19}}};
    for (const ConvCase& c : cases) {
        SCOPED_TRACE(c.name);
        const Pixels<float> pixels(c, 3);
        const KnownNorm<float> units = pixels.units();
        std::vector<float> of_one;
        for (const auto& [team, threads] : crews({1, 2, 3, 8})) {
            use(team, threads);
            const Guarded<float> y(c.y().size());
            conv2d<float>(pixels.view(), pixels.weight.data(), nullptr, c.conv, {y.data(), c.y()},
                          {}, nullptr, &units);
            if (threads == 1) of_one = y.copy();
            EXPECT_TRUE(same_bits(of_one, y.copy())) << team << ", " << threads << " threads";
        }
    }
}

}  // namespace
}  // namespace pocketcnn::tests
