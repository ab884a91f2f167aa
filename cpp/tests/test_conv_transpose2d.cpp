// Transposed convolution and its gradients against the definition, in double.
#include <pocketcnn/conv_transpose2d.h>

#include <stdexcept>
#include <string>

#include "compare.h"
#include "isa_test.h"
#include "random.h"

namespace pocketcnn::tests {
namespace {

/// The convolution of y, of which x is the result.
struct TransposedCase {
    std::string name;
    Shape4 y;
    Conv2d conv;

    Shape4 x() const { return conv2d_output_shape(y, conv); }
    Shape4 weight() const { return conv2d_weight_shape(y, conv); }
};

const TransposedCase kTransposedCases[] = {
    {"Plain", {2, 3, 6, 7}, {Window2d::square(3), 4}},
    {"Twice", {2, 5, 8, 6}, {Window2d::square(2, 2), 7}},
    {"Padded", {1, 4, 9, 8}, {Window2d::square(4, 2, 1), 6}},
    {"Groups", {2, 6, 7, 7}, {Window2d::square(3, 2, 1), 4, 2}},
    {"Depthwise", {2, 4, 6, 9}, {Window2d::square(3), 4, 4}},
    {"Sides", {1, 3, 11, 9}, {{3, 2, 2, 3, 1, 0, 2, 1, 2, 1}, 5}},
    {"Empty", {0, 3, 6, 7}, {Window2d::square(3), 4}},
};

class ConvTransposeTest : public IsaCaseTest<TransposedCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(ConvTransposeTest, TransposedCase, kTransposedCases);

/// Calls body(i, k, o) for each element i of x and weight k, whose product is added to y's o.
template <typename Body>
void for_products(const TransposedCase& c, Body&& body) {
    const Shape4 x = c.x(), weight = c.weight(), y = c.y;
    const Window2d& w = c.conv.window;
    for (index_t i = 0; i < x.size(); ++i) {
        const index_t n = i / x.image(), in = i / x.plane() % x.c;
        for (index_t k = 0; k < weight.image(); ++k) {
            const index_t f = in / (x.c / c.conv.groups) * weight.c + k / weight.plane();
            const index_t kh = k / weight.w % weight.h, kw = k % weight.w;
            const index_t oh = i / x.w % x.h * w.stride_h + kh * w.dilation_h - w.pad_top;
            const index_t ow = i % x.w * w.stride_w + kw * w.dilation_w - w.pad_left;
            if (oh < 0 || oh >= y.h || ow < 0 || ow >= y.w) continue;
            body(i, in * weight.image() + k, ((n * y.c + f) * y.h + oh) * y.w + ow);
        }
    }
}

template <typename T>
void check(const TransposedCase& c, Edge edge) {
    Random random(c.name);
    const RandomArray<T> x(random, c.x().size(), edge), weight(random, c.weight().size(), edge),
        bias(random, c.y.c, edge), dy(random, c.y.size(), edge);
    const Guarded<T> y(c.y.size(), edge), dweight(weight.size(), edge), dbias(c.y.c, edge);
    conv_transpose2d<T>({x.data(), c.x()}, weight.data(), bias.data(), c.conv, {y.data(), c.y});
    conv_transpose2d_backward_weight<T>({dy.data(), c.y}, {x.data(), c.x()}, c.conv, dweight.data(),
                                        dbias.data());
    Sums wanted(c.y.size()), weight_sums(weight.size()), bias_sums(c.y.c);
    for (index_t o = 0; o < c.y.size(); ++o) {
        const index_t f = o / c.y.plane() % c.y.c;
        wanted[o].add(double(bias[f]));
        bias_sums[f].add(double(dy[o]));
    }
    for_products(c, [&](index_t i, index_t k, index_t o) {
        wanted[o].add(double(x[i]) * double(weight[k]));
        weight_sums[k].add(double(x[i]) * double(dy[o]));
    });
    expect_sums(y, wanted);
    expect_sums(dweight, weight_sums);
    expect_sums(dbias, bias_sums);
}

TEST_P(ConvTransposeTest, OutputAndGradients) {
    for (const Edge edge : kEdges) {
        check<float>(test_case(), edge);
        check<double>(test_case(), edge);
    }
}

TEST(ConvTranspose2d, RefusesWrongShapes) {
    const Guarded<float> x(64), y(64);
    const float weight[4 * 9] = {};
    const Conv2d conv = {Window2d::square(3), 4};
    EXPECT_THROW(conv_transpose2d<float>({x.data(), {1, 4, 2, 2}}, weight, nullptr, conv,
                                         {y.data(), {1, 1, 4, 5}}),
                 std::invalid_argument);
    EXPECT_TRUE(y.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
