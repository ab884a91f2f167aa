// Max pooling and its gradient: values, indices, ties, NaN, padding.
#include <pocketcnn/pool2d.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "isa_test.h"
#include "pool_cases.h"

namespace pocketcnn::tests {
namespace {

class MaxPool2dTest : public IsaCaseTest<PoolCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(MaxPool2dTest, PoolCase, kPoolCases);

class DilatedMaxPool2dTest : public MaxPool2dTest {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(DilatedMaxPool2dTest, PoolCase, kDilatedPoolCases);

template <typename T>
void check_forward(const PoolCase& c, Content content, Edge edge) {
    SCOPED_TRACE("content " + std::to_string(static_cast<int>(content)));
    Random random(c.name);
    Guarded<T> x(c.x.size(), edge);
    fill(x, content, random);
    x.freeze();
    ASSERT_EQ(pool2d_output_shape(c.x, c.pool), c.y());
    const Guarded<T> y(c.y().size(), edge);
    const Guarded<index_t> argmax(c.y().size(), edge);
    max_pool2d<T>({x.data(), c.x}, c.pool, {y.data(), c.y()}, argmax.data());

    const reference::Maxima<T> wanted = reference::max_pool2d(x.data(), c.x, c.pool);
    EXPECT_EQ(argmax.copy(), wanted.argmax);
    EXPECT_TRUE(same_bits(y.copy(), wanted.y));
    EXPECT_TRUE(y.margins_intact());
    EXPECT_TRUE(argmax.margins_intact());
    for (index_t k = 0; k < y.size(); ++k) {
        ASSERT_GE(argmax[k], 0);
        ASSERT_LT(argmax[k], c.x.plane());
    }
}

void check_forward(const PoolCase& c) {
    for (const Content content : kContents) {
        for (const Edge edge : kEdges) {
            check_forward<float>(c, content, edge);
            check_forward<double>(c, content, edge);
        }
    }
}

TEST_P(MaxPool2dTest, Forward) {
    check_forward(test_case());
}
TEST_P(DilatedMaxPool2dTest, Forward) {
    check_forward(test_case());
}

template <typename T>
void check_gradient(const PoolCase& c, Edge edge) {
    Random random(c.name);
    const RandomArray<T> x(random, c.x.size(), edge), dy(random, c.y().size(), edge);
    const reference::Maxima<T> maxima = reference::max_pool2d(x.data(), c.x, c.pool);
    Guarded<index_t> argmax(c.y().size(), edge);
    std::copy(maxima.argmax.begin(), maxima.argmax.end(), argmax.begin());
    argmax.freeze();
    Sums wanted(c.x.size());
    for (index_t k = 0; k < dy.size(); ++k) {
        wanted[k / c.y().plane() * c.x.plane() + argmax[k]].add(dy[k]);
    }

    const Guarded<T> dx(c.x.size(), edge);
    max_pool2d_backward<T>({dy.data(), c.y()}, argmax.data(), {dx.data(), c.x});
    expect_sums(dx, wanted);
}

void check_gradient(const PoolCase& c) {
    for (const Edge edge : kEdges) {
        check_gradient<float>(c, edge);
        check_gradient<double>(c, edge);
    }
}

TEST_P(MaxPool2dTest, Gradient) {
    check_gradient(test_case());
}
TEST_P(DilatedMaxPool2dTest, Gradient) {
    check_gradient(test_case());
}

class MaxPoolFieldsTest : public IsaCaseTest<PoolCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(MaxPoolFieldsTest, PoolCase, kPoolWays);

TEST_P(MaxPoolFieldsTest, ForwardAndGradient) {
    for_every_field(test_case(), [](const PoolCase& c) {
        SCOPED_TRACE(c.name);
        check_forward(c);
        check_gradient(c);
    });
}

/// Images whose rows of windows are shorter than a vector, as long, and a little longer, with the
/// windows that have loops of their own and others; planes too few and too many for a task.
class MaxPoolSizesTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(MaxPoolSizesTest);

TEST_P(MaxPoolSizesTest, RowsAroundVectors) {
    Random random("rows around vectors");
    for (index_t w = 3; w <= 70; ++w) {
        const index_t kernel_h = 1 + random.below(3), kernel_w = 1 + random.below(3);
        const Window2d window = {
            kernel_h,
            kernel_w,
            1 + random.below(3),
            1 + random.below(3),
            random.below(kernel_h),
            random.below(kernel_h),
            random.below(kernel_w),
            random.below(kernel_w),
        };
        const PoolCase c = {"rows",
                            {1 + random.below(3), 1 + random.below(4), 3 + random.below(9), w},
                            {window, random.below(2) == 1}};
        SCOPED_TRACE("width " + std::to_string(w));
        for (const Edge edge : kEdges) {
            check_forward<float>(c, Content::ties, edge);
            check_forward<float>(c, Content::nan, edge);
            check_forward<double>(c, Content::random, edge);
        }
        check_gradient(c);
    }
}

TEST(MaxPool2d, GradientRefusesIndicesOutsideThePlane) {
    const Shape4 x = {1, 5, 4, 4}, y = {1, 5, 2, 2};
    const Guarded<float> dx(x.size());
    const std::vector<float> dy(20);
    for (std::size_t place = 0; place < dy.size(); ++place) {
        for (const index_t bad :
             {index_t{-1}, x.plane(), index_t{1} << 40, std::numeric_limits<index_t>::min()}) {
            std::vector<index_t> argmax(dy.size(), 3);
            argmax[place] = bad;
            EXPECT_THROW(max_pool2d_backward<float>({dy.data(), y}, argmax.data(), {dx.data(), x}),
                         std::invalid_argument)
                << bad << " at " << place;
            EXPECT_TRUE(dx.margins_intact());
        }
    }
}

TEST(MaxPool2d, GradientRefusesOtherBatches) {
    const Guarded<float> dx(32);
    const float dy[8] = {};
    const index_t argmax[8] = {};
    EXPECT_THROW(max_pool2d_backward<float>({dy, {2, 1, 2, 2}}, argmax, {dx.data(), {1, 2, 4, 4}}),
                 std::invalid_argument);
    EXPECT_TRUE(dx.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
