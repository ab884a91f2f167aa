// Batch normalisation and its gradient against the definition, in double.
#include <pocketcnn/activation.h>
#include <pocketcnn/batch_norm.h>

#include <cmath>
#include <string>
#include <vector>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

struct NormCase {
    std::string name;
    ChannelShape shape;
    /// Mean of the input, whose deviations are about one.
    double mean = 0;
};

/// Planes that are gathered, that are not, and that take several blocks; no multiples of any
/// vector.
const NormCase kNormCases[] = {
    {"OnePixel", {7, 3, 1}, 0},         {"Gathered", {11, 2, 9}, 2},
    {"ManyGathered", {2100, 1, 2}, -1}, {"AlmostGathered", {3, 2, 63}, 0},
    {"Plane", {3, 5, 64}, 0},           {"Ragged", {2, 3, 77}, 1},
    {"Blocks", {2, 2, 4099}, 0},        {"FarAway", {3, 2, 200}, 1e4},
    {"Single", {1, 1, 2}, 0},           {"Empty", {0, 3, 5}, 0},
};

class BatchNormTest : public IsaCaseTest<NormCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(BatchNormTest, NormCase, kNormCases);

/// What is done to the output: nothing, a ReLU, or a ReLU up to a ceiling.
struct Bounds {
    bool rectify;
    double ceiling = std::numeric_limits<double>::infinity();

    double applied(double value) const {
        return rectify ? std::min(std::max(value, 0.0), ceiling) : value;
    }
};

/// The ceilings are reached by a part of the elements, and 0.75 is the same in float.
const Bounds kBounds[] = {{false}, {true}, {true, 0.75}};

/// All arrays of one batch, between guard pages.
template <typename T>
struct Batch {
    Batch(const NormCase& c, Edge edge)
        : shape(c.shape),
          x(shape.size(), edge),
          dy(shape.size(), edge),
          gamma(shape.channels, edge),
          beta(shape.channels, edge),
          mean(shape.channels, edge),
          variance(shape.channels, edge),
          y(shape.size(), edge),
          dx(shape.size(), edge),
          dgamma(shape.channels, edge),
          dbeta(shape.channels, edge) {
        Random random(c.name);
        random.fill(x, c.mean - 2, c.mean + 2);
        random.fill(dy);
        random.fill_away_from_zero(gamma);
        random.fill(beta);
        x.freeze();
        dy.freeze();
        gamma.freeze();
        beta.freeze();
    }

    BatchNorm<T> norm(const Bounds& bounds) const {
        return {gamma.data(), beta.data(), eps, bounds.rectify, bounds.ceiling};
    }
    ChannelStatistics statistics() const { return {mean.data(), variance.data()}; }

    /// Calls body(c, i) for the elements i of channel c.
    template <typename Body>
    void for_elements(Body&& body) const {
        for (index_t i = 0; i < shape.size(); ++i) body(i / shape.plane % shape.channels, i);
    }
    double xhat(index_t c, index_t i) const {
        return (double(x[i]) - mean[c]) / std::sqrt(variance[c] + eps);
    }
    /// dy, or zero where the output is a bound.
    double passed(const Bounds& bounds, index_t i) const {
        const bool within = y[i] > 0 && double(y[i]) < bounds.ceiling;
        return bounds.rectify && !within ? 0 : double(dy[i]);
    }

    static constexpr double eps = 1e-3;
    ChannelShape shape;
    Guarded<T> x, dy, gamma, beta;
    Guarded<double> mean, variance;
    Guarded<T> y, dx, dgamma, dbeta;
};

/// Roundings of a result of order one. Means are kept in double, whose rounding is negligible
/// beside that of float.
template <typename T>
double allowed(const NormCase& c) {
    const double lost = std::abs(c.mean) * std::numeric_limits<double>::epsilon();
    return 16 * (std::numeric_limits<T>::epsilon() + lost);
}

template <typename T>
void expect_statistics(const Batch<T>& batch, const NormCase& c) {
    const index_t channels = batch.shape.channels;
    const auto count = static_cast<long double>(batch.shape.count());
    std::vector<long double> mean(channels), variance(channels);
    batch.for_elements([&](index_t k, index_t i) { mean[k] += batch.x[i] / count; });
    batch.for_elements([&](index_t k, index_t i) {
        variance[k] += (batch.x[i] - mean[k]) * (batch.x[i] - mean[k]) / count;
    });
    for (index_t k = 0; k < channels; ++k) {
        expect_near(batch.mean[k], double(mean[k]), allowed<T>(c));
        expect_near(batch.variance[k], double(variance[k]), 4 * allowed<T>(c));
    }
}

template <typename T>
void expect_output(const Batch<T>& batch, const NormCase& c, const Bounds& bounds) {
    batch.for_elements([&](index_t k, index_t i) {
        const double wanted = batch.xhat(k, i) * double(batch.gamma[k]) + double(batch.beta[k]);
        expect_near(batch.y[i], bounds.applied(wanted), 4 * allowed<T>(c));
    });
    EXPECT_TRUE(batch.y.margins_intact());
}

template <typename T>
void expect_gradients(const Batch<T>& batch, const NormCase& c, const Bounds& bounds,
                      bool training) {
    const index_t channels = batch.shape.channels;
    Sums dgamma(channels), dbeta(channels);
    batch.for_elements([&](index_t k, index_t i) {
        dgamma[k].add(batch.passed(bounds, i) * batch.xhat(k, i));
        dbeta[k].add(batch.passed(bounds, i));
    });
    const double growth = 16 * allowed<T>(c) / std::numeric_limits<T>::epsilon();
    expect_sums(batch.dgamma, dgamma, growth);
    expect_sums(batch.dbeta, dbeta);
    const double count = training ? double(batch.shape.count()) : INFINITY;
    batch.for_elements([&](index_t k, index_t i) {
        const double scale = double(batch.gamma[k]) / std::sqrt(batch.variance[k] + batch.eps);
        const double wanted = batch.passed(bounds, i) - dbeta[k].value / count -
                              batch.xhat(k, i) * dgamma[k].value / count;
        expect_near(batch.dx[i], scale * wanted, 4 * std::abs(scale) * allowed<T>(c));
    });
    EXPECT_TRUE(batch.dx.margins_intact());
}

template <typename T>
void check(const NormCase& c, Edge edge, const Bounds& bounds, bool training) {
    const Batch<T> batch(c, edge);
    const BatchNorm<T> norm = batch.norm(bounds);
    if (training) {
        batch_norm_train(batch.x.data(), c.shape, norm, batch.mean.data(), batch.variance.data(),
                         batch.y.data());
        if (c.shape.count() > 0) expect_statistics(batch, c);
    } else {
        for (index_t k = 0; k < c.shape.channels; ++k) {
            batch.mean[k] = c.mean + 0.25 * double(k);
            batch.variance[k] = 1 + 0.5 * double(k);
        }
        batch_norm_infer(batch.x.data(), c.shape, norm, batch.statistics(), batch.y.data());
    }
    expect_output(batch, c, bounds);
    batch_norm_backward(batch.dy.data(), batch.x.data(), c.shape, norm, batch.statistics(),
                        training, batch.dx.data(), batch.dgamma.data(), batch.dbeta.data());
    expect_gradients(batch, c, bounds, training);
}

TEST_P(BatchNormTest, OutputStatisticsAndGradients) {
    for (const Edge edge : kEdges) {
        for (const Bounds& bounds : kBounds) {
            for (const bool training : {false, true}) {
                check<float>(test_case(), edge, bounds, training);
                check<double>(test_case(), edge, bounds, training);
            }
        }
    }
}

TEST_P(BatchNormTest, InferenceInPlace) {
    const Batch<float> batch(test_case(), Edge::back);
    std::fill(batch.mean.begin(), batch.mean.end(), test_case().mean);
    std::fill(batch.variance.begin(), batch.variance.end(), 2.0);
    std::copy(batch.x.begin(), batch.x.end(), batch.dx.begin());
    const ChannelShape& shape = test_case().shape;
    batch_norm_infer(batch.x.data(), shape, batch.norm({true}), batch.statistics(), batch.y.data());
    batch_norm_infer(batch.dx.data(), shape, batch.norm({true}), batch.statistics(),
                     batch.dx.data());
    EXPECT_TRUE(same_bits(batch.dx.copy(), batch.y.copy()));
}

TEST_P(BatchNormTest, GradientInPlace) {
    const Batch<float> batch(test_case(), Edge::back), other(test_case(), Edge::back);
    std::fill(batch.mean.begin(), batch.mean.end(), test_case().mean);
    std::fill(batch.variance.begin(), batch.variance.end(), 2.0);
    const ChannelShape& shape = test_case().shape;
    const BatchNorm<float> norm = batch.norm({true, 0.75});
    batch_norm_backward(batch.dy.data(), batch.x.data(), shape, norm, batch.statistics(), true,
                        batch.dx.data(), batch.dgamma.data(), batch.dbeta.data());
    std::copy(batch.dy.begin(), batch.dy.end(), other.dx.begin());
    batch_norm_backward(other.dx.data(), batch.x.data(), shape, norm, batch.statistics(), true,
                        other.dx.data(), other.dgamma.data(), other.dbeta.data());
    EXPECT_TRUE(same_bits(other.dx.copy(), batch.dx.copy()));
    std::copy(batch.x.begin(), batch.x.end(), other.y.begin());
    batch_norm_backward(batch.dy.data(), other.y.data(), shape, norm, batch.statistics(), true,
                        other.y.data(), other.dgamma.data(), other.dbeta.data());
    EXPECT_TRUE(same_bits(other.y.copy(), batch.dx.copy()));
}

/// The end of a residual block against its operations one by one.
template <typename T>
void check_sum(const NormCase& c, bool rectify) {
    const Batch<T> apart(c, Edge::back), together(c, Edge::back);
    const index_t size = c.shape.size();
    Random random(c.name + "sum");
    const RandomArray<T> added(random, size);
    const Guarded<T> y(size), dsum(size), wanted(size), dwanted(size);
    const BatchNorm<T> norm = apart.norm({false});
    batch_norm_train(apart.x.data(), c.shape, norm, apart.mean.data(), apart.variance.data(),
                     apart.y.data());
    add(apart.y.data(), added.data(), rectify, wanted.data(), size);
    batch_norm_add_train(together.x.data(), added.data(), c.shape, together.norm({rectify}),
                         together.mean.data(), together.variance.data(), y.data());
    EXPECT_TRUE(same_bits(y.copy(), wanted.copy()) && y.margins_intact());
    EXPECT_TRUE(same_bits(together.mean.copy(), apart.mean.copy()));
    EXPECT_TRUE(same_bits(together.variance.copy(), apart.variance.copy()));
    if (!rectify) return;
    activate_backward(Activation::relu, apart.dy.data(), wanted.data(), dwanted.data(), size);
    batch_norm_backward(dwanted.data(), apart.x.data(), c.shape, norm, apart.statistics(), true,
                        apart.dx.data(), apart.dgamma.data(), apart.dbeta.data());
    batch_norm_add_backward(together.dy.data(), y.data(), together.x.data(), c.shape,
                            together.norm({true}), together.statistics(), dsum.data(),
                            together.dx.data(), together.dgamma.data(), together.dbeta.data());
    EXPECT_TRUE(same_bits(dsum.copy(), dwanted.copy()) && dsum.margins_intact());
    EXPECT_TRUE(same_bits(together.dx.copy(), apart.dx.copy()));
    EXPECT_TRUE(same_bits(together.dgamma.copy(), apart.dgamma.copy()));
    EXPECT_TRUE(same_bits(together.dbeta.copy(), apart.dbeta.copy()));
}

/// The gradient of the sum as the sum of two, which is written over one of them.
template <typename T>
void check_gradient_in_parts(const NormCase& c) {
    const Batch<T> whole(c, Edge::back), parts(c, Edge::back);
    const index_t size = c.shape.size();
    Random random(c.name + "parts");
    const RandomArray<T> added(random, size);
    const Guarded<T> y(size), dy(size), dsum(size), more(size);
    const BatchNorm<T> norm = whole.norm({true});
    batch_norm_add_train(whole.x.data(), added.data(), c.shape, norm, whole.mean.data(),
                         whole.variance.data(), y.data());
    for (index_t i = 0; i < size; ++i) more.data()[i] = static_cast<T>(random.uniform(-1, 1));
    add(whole.dy.data(), more.data(), false, dy.data(), size);
    batch_norm_add_backward(dy.data(), y.data(), whole.x.data(), c.shape, norm, whole.statistics(),
                            dsum.data(), whole.dx.data(), whole.dgamma.data(), whole.dbeta.data());
    batch_norm_add_backward(parts.dy.data(), y.data(), parts.x.data(), c.shape, norm,
                            whole.statistics(), more.data(), parts.dx.data(), parts.dgamma.data(),
                            parts.dbeta.data(), more.data());
    EXPECT_TRUE(same_bits(more.copy(), dsum.copy()) && more.margins_intact());
    EXPECT_TRUE(same_bits(parts.dx.copy(), whole.dx.copy()));
    EXPECT_TRUE(same_bits(parts.dgamma.copy(), whole.dgamma.copy()));
    EXPECT_TRUE(same_bits(parts.dbeta.copy(), whole.dbeta.copy()));
}

TEST_P(BatchNormTest, TakesAGradientInParts) {
    check_gradient_in_parts<float>(test_case());
    check_gradient_in_parts<double>(test_case());
}

TEST_P(BatchNormTest, AtTheEndOfAResidualBlock) {
    for (const bool rectify : {false, true}) {
        check_sum<float>(test_case(), rectify);
        check_sum<double>(test_case(), rectify);
    }
}

TEST(BatchNorm, NanSpoilsItsChannelOnly) {
    for_every_isa([] {
        const ChannelShape shape = {2, 2, 70};
        std::vector<float> x(shape.size(), 1), y(shape.size());
        x[70 + 3] = std::numeric_limits<float>::quiet_NaN();
        const float gamma[] = {1, 1}, beta[] = {0, 0};
        double mean[2], variance[2];
        batch_norm_train<float>(x.data(), shape, {gamma, beta, 1e-5, true}, mean, variance,
                                y.data());
        for (index_t i = 0; i < shape.size(); ++i) {
            EXPECT_EQ(std::isnan(y[i]), i / shape.plane % 2 == 1) << i;
        }
    });
}

}  // namespace
}  // namespace pocketcnn::tests
