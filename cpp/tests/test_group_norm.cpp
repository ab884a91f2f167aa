// Group normalisation and its gradient against the definition, in double.
#include <pocketcnn/group_norm.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

struct GroupCase {
    std::string name;
    ChannelShape shape;
    index_t groups;
    /// Mean of the input, whose deviations are about one.
    double mean = 0;
};

/// Groups of one, some and all channels; planes of a pixel, and of several blocks.
const GroupCase kGroupCases[] = {
    {"OnePixel", {3, 6, 1}, 2},       {"Small", {2, 6, 9}, 3, 2},  {"Instance", {3, 4, 77}, 4, -1},
    {"Layer", {2, 5, 64}, 1},         {"Blocks", {2, 2, 4099}, 1}, {"Plane", {1, 2, 9000}, 2, 1},
    {"FarAway", {3, 4, 200}, 2, 1e4}, {"Single", {1, 1, 2}, 1},    {"Empty", {0, 4, 5}, 2},
    {"NoPixels", {2, 4, 0}, 2},
};

class GroupNormTest : public IsaCaseTest<GroupCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(GroupNormTest, GroupCase, kGroupCases);

/// All arrays of one batch, between guard pages.
template <typename T>
struct Batch {
    Batch(const GroupCase& c, Edge edge)
        : shape(c.shape),
          groups(c.groups),
          x(shape.size(), edge),
          dy(shape.size(), edge),
          gamma(shape.channels, edge),
          beta(shape.channels, edge),
          mean(shape.n * groups, edge),
          variance(shape.n * groups, edge),
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

    /// Calls body(group, channel, i) for every element i.
    template <typename Body>
    void for_elements(Body&& body) const {
        const index_t per = shape.channels / groups;
        for (index_t i = 0; i < shape.size(); ++i) {
            body(i / shape.plane / per, i / shape.plane % shape.channels, i);
        }
    }
    double count() const { return double(shape.size() / (shape.n * groups)); }
    double xhat(index_t g, index_t i) const {
        return (double(x[i]) - mean[g]) / std::sqrt(variance[g] + eps);
    }

    static constexpr double eps = 1e-3;
    ChannelShape shape;
    index_t groups;
    Guarded<T> x, dy, gamma, beta;
    Guarded<double> mean, variance;
    Guarded<T> y, dx, dgamma, dbeta;
};

/// Roundings of a result of order one; means are kept in double.
template <typename T>
double allowed(const GroupCase& c) {
    const double lost = std::abs(c.mean) * std::numeric_limits<double>::epsilon();
    return 16 * (std::numeric_limits<T>::epsilon() + lost);
}

template <typename T>
void expect_forward(const Batch<T>& batch, const GroupCase& c) {
    std::vector<long double> mean(batch.mean.size()), variance(batch.mean.size());
    const auto count = static_cast<long double>(batch.count());
    batch.for_elements([&](index_t g, index_t, index_t i) { mean[g] += batch.x[i] / count; });
    batch.for_elements([&](index_t g, index_t, index_t i) {
        variance[g] += (batch.x[i] - mean[g]) * (batch.x[i] - mean[g]) / count;
    });
    for (index_t g = 0; g < batch.mean.size(); ++g) {
        expect_near(batch.mean[g], double(mean[g]), allowed<T>(c));
        expect_near(batch.variance[g], double(variance[g]), 4 * allowed<T>(c));
    }
    batch.for_elements([&](index_t g, index_t k, index_t i) {
        const double wanted = batch.xhat(g, i) * double(batch.gamma[k]) + double(batch.beta[k]);
        expect_near(batch.y[i], wanted, 4 * allowed<T>(c));
    });
    EXPECT_TRUE(batch.y.margins_intact());
}

template <typename T>
void expect_gradients(const Batch<T>& batch, const GroupCase& c) {
    Sums dgamma(batch.shape.channels), dbeta(batch.shape.channels);
    std::vector<double> plain(batch.mean.size()), product(batch.mean.size());
    batch.for_elements([&](index_t g, index_t k, index_t i) {
        const double dy = double(batch.dy[i]), xhat = batch.xhat(g, i);
        dgamma[k].add(dy * xhat);
        dbeta[k].add(dy);
        plain[g] += double(batch.gamma[k]) * dy / batch.count();
        product[g] += double(batch.gamma[k]) * dy * xhat / batch.count();
    });
    expect_sums(batch.dgamma, dgamma, 16 * allowed<T>(c) / std::numeric_limits<T>::epsilon());
    expect_sums(batch.dbeta, dbeta);
    batch.for_elements([&](index_t g, index_t k, index_t i) {
        const double inverse = 1 / std::sqrt(batch.variance[g] + batch.eps);
        const double wanted =
            double(batch.gamma[k]) * double(batch.dy[i]) - plain[g] - batch.xhat(g, i) * product[g];
        expect_near(batch.dx[i], inverse * wanted, 8 * inverse * allowed<T>(c));
    });
    EXPECT_TRUE(batch.dx.margins_intact());
}

template <typename T>
void check(const GroupCase& c, Edge edge) {
    const Batch<T> batch(c, edge);
    const GroupNorm<T> norm = {c.groups, batch.gamma.data(), batch.beta.data(), batch.eps};
    group_norm(batch.x.data(), c.shape, norm, batch.mean.data(), batch.variance.data(),
               batch.y.data());
    if (c.shape.size() > 0) expect_forward(batch, c);
    group_norm_backward(batch.dy.data(), batch.x.data(), c.shape, norm,
                        {batch.mean.data(), batch.variance.data()}, batch.dx.data(),
                        batch.dgamma.data(), batch.dbeta.data());
    expect_gradients(batch, c);
}

TEST_P(GroupNormTest, OutputStatisticsAndGradients) {
    for (const Edge edge : kEdges) {
        check<float>(test_case(), edge);
        check<double>(test_case(), edge);
    }
}

TEST(GroupNorm, RefusesGroupsThatDoNotDivide) {
    const Guarded<float> x(24), gamma(4);
    const Guarded<double> statistics(12);
    for (const index_t groups : {index_t{-1}, index_t{0}, index_t{3}, index_t{8}}) {
        const GroupNorm<float> norm = {groups, gamma.data(), gamma.data()};
        EXPECT_THROW(group_norm<float>(x.data(), {2, 4, 3}, norm, statistics.data(),
                                       statistics.data(), x.data()),
                     std::invalid_argument);
        EXPECT_THROW(group_norm_backward<float>(x.data(), x.data(), {2, 4, 3}, norm,
                                                {statistics.data(), statistics.data()}, x.data(),
                                                gamma.data(), gamma.data()),
                     std::invalid_argument);
    }
    EXPECT_TRUE(x.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
