// Average pooling and its gradient, and the sizes that every pooling refuses.
#include <pocketcnn/pool2d.h>

#include <stdexcept>

#include "isa_test.h"
#include "pool_cases.h"

namespace pocketcnn::tests {
namespace {

class AvgPool2dTest : public IsaCaseTest<PoolCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(AvgPool2dTest, PoolCase, kPoolCases);

template <typename T>
void check_forward(const PoolCase& c, bool count_include_pad, Edge edge) {
    Random random(c.name);
    const RandomArray<T> x(random, c.x.size(), edge);
    const Guarded<T> y(c.y().size(), edge);
    avg_pool2d<T>({x.data(), c.x}, c.pool, count_include_pad, {y.data(), c.y()});
    expect_sums(y, reference::avg_pool2d(x.data(), c.x, c.pool, count_include_pad));
}

template <typename T>
void check_gradient(const PoolCase& c, bool count_include_pad, Edge edge) {
    Random random(c.name);
    const RandomArray<T> dy(random, c.y().size(), edge);
    const Guarded<T> dx(c.x.size(), edge);
    avg_pool2d_backward<T>({dy.data(), c.y()}, c.pool, count_include_pad, {dx.data(), c.x});
    expect_sums(dx, reference::avg_pool2d_backward(dy.data(), c.x, c.pool, count_include_pad));
}

void check_forward(const PoolCase& c) {
    for (const bool count_include_pad : {true, false}) {
        SCOPED_TRACE(c.name + (count_include_pad ? ", with padding" : ", without padding"));
        for (const Edge edge : kEdges) {
            check_forward<float>(c, count_include_pad, edge);
            check_forward<double>(c, count_include_pad, edge);
        }
    }
}

void check_gradient(const PoolCase& c) {
    for (const bool count_include_pad : {true, false}) {
        SCOPED_TRACE(c.name + (count_include_pad ? ", with padding" : ", without padding"));
        for (const Edge edge : kEdges) {
            check_gradient<float>(c, count_include_pad, edge);
            check_gradient<double>(c, count_include_pad, edge);
        }
    }
}

TEST_P(AvgPool2dTest, Forward) {
    check_forward(test_case());
}

TEST_P(AvgPool2dTest, Gradient) {
    check_gradient(test_case());
}

class AvgPoolFieldsTest : public IsaCaseTest<PoolCase> {};
POCKETCNN_FOR_EVERY_ISA_AND_CASE(AvgPoolFieldsTest, PoolCase, kPoolWays);

TEST_P(AvgPoolFieldsTest, ForwardAndGradient) {
    for_every_field(test_case(), [](const PoolCase& c) {
        if (c.pool.window.dilation_h > 1 || c.pool.window.dilation_w > 1) return;
        check_forward(c);
        check_gradient(c);
    });
}

/// Every image of 1..10 by 1..10 with every window that fits it.
class PoolSizesTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(PoolSizesTest);

TEST_P(PoolSizesTest, SmallImages) {
    Random random("small images");
    for (index_t h = 1; h <= 10; ++h) {
        for (index_t w = 1; w <= 10; ++w) {
            const index_t kernel_h = 1 + random.below(h), kernel_w = 1 + random.below(w);
            const Window2d window = {
                kernel_h,
                kernel_w,
                1 + random.below(kernel_h + 1),
                1 + random.below(kernel_w + 1),
                random.below(kernel_h),
                random.below(kernel_h),
                random.below(kernel_w),
                random.below(kernel_w),
            };
            const PoolCase c = {"small", {1, 2, h, w}, {window, random.below(2) == 1}};
            SCOPED_TRACE(std::to_string(h) + " by " + std::to_string(w));
            ASSERT_EQ(pool2d_output_shape(c.x, c.pool), c.y());
            check_forward<float>(c, random.below(2) == 1, Edge::back);
            check_gradient<float>(c, random.below(2) == 1, Edge::back);
        }
    }
}

TEST(PoolShape, RefusesPaddingThatIsNotSmallerThanTheKernel) {
    const Shape4 x = {1, 1, 8, 8};
    EXPECT_THROW(pool2d_output_shape(x, {{.kernel_h = 2, .pad_top = 2}}), std::invalid_argument);
    EXPECT_THROW(pool2d_output_shape(x, {{.kernel_h = 2, .pad_bottom = 2}}), std::invalid_argument);
    EXPECT_THROW(pool2d_output_shape(x, {{.kernel_w = 3, .pad_left = 3}}), std::invalid_argument);
    EXPECT_THROW(pool2d_output_shape(x, {{.kernel_w = 3, .pad_right = 4}}), std::invalid_argument);
    EXPECT_NO_THROW(pool2d_output_shape(x, {{.kernel_w = 3, .pad_right = 2}}));
}

TEST(PoolShape, RefusesDilatedWindowsOnPaddingOnly) {
    // Taps at -4 and 4 of an input of 3.
    const Window2d window = {.kernel_h = 2, .pad_top = 4, .pad_bottom = 4, .dilation_h = 8};
    EXPECT_THROW(pool2d_output_shape({1, 1, 3, 1}, {window}), std::invalid_argument);
}

TEST(PoolShape, WrongShapesLeaveTheOutputAlone) {
    const Shape4 x = {1, 2, 4, 4}, wrong = {1, 2, 2, 3};
    const Guarded<float> data(x.size()), out(wrong.size());
    const Guarded<index_t> argmax(wrong.size());
    const Pool2d pool = {kPool2};
    EXPECT_THROW(max_pool2d<float>({data.data(), x}, pool, {out.data(), wrong}, argmax.data()),
                 std::invalid_argument);
    EXPECT_THROW(avg_pool2d<float>({data.data(), x}, pool, true, {out.data(), wrong}),
                 std::invalid_argument);
    EXPECT_THROW(avg_pool2d_backward<float>({out.data(), wrong}, pool, true, {data.data(), x}),
                 std::invalid_argument);
    EXPECT_TRUE(data.untouched());
    EXPECT_TRUE(out.untouched());
    EXPECT_TRUE(argmax.untouched());
}

TEST(AvgPool2d, RefusesDilation) {
    const Shape4 x = {1, 1, 1, 5}, y = {1, 1, 1, 3};
    const Pool2d pool = {{.kernel_w = 2, .dilation_w = 2}};
    const Guarded<float> in(x.size()), out(y.size());
    EXPECT_THROW(avg_pool2d<float>({in.data(), x}, pool, true, {out.data(), y}),
                 std::invalid_argument);
    EXPECT_THROW(avg_pool2d_backward<float>({out.data(), y}, pool, true, {in.data(), x}),
                 std::invalid_argument);
    EXPECT_TRUE(in.untouched());
    EXPECT_TRUE(out.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
