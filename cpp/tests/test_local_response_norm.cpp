// Local response normalisation and its gradient against the definition, in double.
#include <pocketcnn/local_response_norm.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

struct ResponseCase {
    std::string name;
    Shape4 x;
    LocalResponseNorm norm;
};

/// Strips of pixels that are whole, partial and shorter than a vector; windows of even and odd
/// size, wider than the channels, and of one channel.
const ResponseCase kResponseCases[] = {
    {"Paper", {2, 9, 7, 5}, {5, 5e-4, 0.75, 2}},
    {"Strong", {1, 8, 3, 11}, {5, 3, 0.75, 0.5}},
    {"OnePixel", {3, 6, 1, 1}, {3, 1, 0.75, 1}},
    {"EvenWindow", {1, 7, 4, 5}, {4, 2, 0.75, 1}},
    {"OneChannel", {2, 1, 3, 3}, {5, 1, 0.75, 1}},
    {"WideWindow", {1, 3, 2, 9}, {100, 50, 0.75, 1}},
    {"OneWide", {1, 4, 2, 9}, {1, 1, 0.75, 1}},
    {"OtherPower", {2, 5, 3, 7}, {3, 2, 0.6, 1.5}},
    {"LargePower", {1, 5, 3, 7}, {3, 2, 5, 1.5}},
    {"NoPower", {1, 5, 1, 17}, {3, 2, 0, 1}},
    {"Strips", {1, 6, 23, 47}, {5, 1, 0.75, 1}},
    {"StripsOtherPower", {1, 3, 29, 31}, {2, 1, 1.25, 1}},
    {"Empty", {0, 3, 2, 2}, {5, 1, 0.75, 1}},
};

class ResponseNormTest : public IsaCaseTest<ResponseCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ResponseNormTest, ResponseCase, kResponseCases);

/// Calls body(i, j) for every element j in the window of element i.
template <typename Body>
void for_neighbours(const ResponseCase& c, Body&& body) {
    const index_t plane = c.x.plane(), size = c.norm.size;
    for (index_t i = 0; i < c.x.size(); ++i) {
        const index_t channel = i / plane % c.x.c;
        for (index_t k = channel - size / 2; k <= channel + (size - 1) / 2; ++k) {
            if (k >= 0 && k < c.x.c) body(i, i + (k - channel) * plane);
        }
    }
}

template <typename T>
std::vector<double> scales(const ResponseCase& c, const Guarded<T>& x) {
    std::vector<double> s(c.x.size(), c.norm.k);
    for_neighbours(c, [&](index_t i, index_t j) {
        s[i] += c.norm.alpha / double(c.norm.size) * double(x[j]) * double(x[j]);
    });
    return s;
}

/// Sums of the window, each root, product and division; and the power multiplies the error of s.
template <typename T>
double allowed(const ResponseCase& c) {
    const double terms = double(std::min(c.norm.size, c.x.c)) + 8;
    return 2 * terms * (1 + c.norm.beta) * std::numeric_limits<T>::epsilon();
}

template <typename T>
void check(const ResponseCase& c, Edge edge) {
    Random random(c.name);
    const RandomArray<T> x(random, c.x.size(), edge), dy(random, c.x.size(), edge);
    const Guarded<T> y(c.x.size(), edge), dx(c.x.size(), edge);
    local_response_norm<T>({x.data(), c.x}, c.norm, {y.data(), c.x});
    local_response_norm_backward<T>({dy.data(), c.x}, {x.data(), c.x}, c.norm, {dx.data(), c.x});

    const std::vector<double> s = scales(c, x);
    std::vector<double> wanted(c.x.size()), magnitude(c.x.size());
    for (index_t i = 0; i < c.x.size(); ++i) {
        const double power = std::pow(s[i], -c.norm.beta);
        expect_near(y[i], double(x[i]) * power, allowed<T>(c) * std::abs(double(x[i]) * power));
        wanted[i] += double(dy[i]) * power;
        magnitude[i] += std::abs(double(dy[i])) * power;
    }
    const double share = 2 * c.norm.alpha / double(c.norm.size) * c.norm.beta;
    for_neighbours(c, [&](index_t i, index_t j) {
        const double term =
            share * double(dy[i]) * double(x[i]) * double(x[j]) * std::pow(s[i], -c.norm.beta - 1);
        wanted[j] -= term;
        magnitude[j] += std::abs(term);
    });
    for (index_t i = 0; i < c.x.size(); ++i) {
        expect_near(dx[i], wanted[i], 2 * allowed<T>(c) * magnitude[i]);
    }
    EXPECT_TRUE(y.margins_intact());
    EXPECT_TRUE(dx.margins_intact());
}

TEST_P(ResponseNormTest, OutputAndGradient) {
    for (const Edge edge : kEdges) {
        check<float>(test_case(), edge);
        check<double>(test_case(), edge);
    }
}

TEST(ResponseNorm, RefusesWrongSizes) {
    const Shape4 x = {1, 2, 3, 3}, other = {1, 2, 3, 4};
    const Guarded<float> data(x.size()), out(other.size());
    EXPECT_THROW(local_response_norm<float>({data.data(), x}, {.size = 0}, {out.data(), x}),
                 std::invalid_argument);
    EXPECT_THROW(local_response_norm<float>({data.data(), x}, {}, {out.data(), other}),
                 std::invalid_argument);
    EXPECT_THROW(local_response_norm_backward<float>({out.data(), other}, {data.data(), x}, {},
                                                     {out.data(), x}),
                 std::invalid_argument);
    EXPECT_TRUE(out.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
