// im2col against its definition, and col2im as its adjoint.
#include <pocketcnn/column_matrix.h>

#include "conv_cases.h"
#include "isa_test.h"

namespace pocketcnn::tests {
namespace {

class Im2colTest : public CaseTest<ConvCase> {};
POCKETCNN_FOR_EVERY_CASE(Im2colTest, ConvCase, kConvCases);

struct Matrix {
    index_t rows, cols;
};

Matrix columns_shape(const ConvCase& c) {
    return {c.x.n * c.y().plane(), c.x.c * c.conv.window.taps()};
}

template <typename T>
void check_im2col(const ConvCase& c, Edge edge) {
    const auto [rows, cols] = columns_shape(c);
    Random random(c.name);
    const RandomArray<T> x(random, c.x.size(), edge);
    std::vector<T> wanted(rows * cols, T{0});
    reference::for_columns(c.x, c.conv.window, [&](index_t i, index_t j) { wanted[j] = x[i]; });

    const Guarded<T> columns(rows * cols, edge);
    im2col<T>({x.data(), c.x}, c.conv.window, {columns.data(), rows, cols});
    EXPECT_EQ(columns.copy(), wanted);
    EXPECT_TRUE(columns.margins_intact());
}

TEST_P(Im2colTest, CopiesWindows) {
    for_every_isa([&] {
        for (const Edge edge : kEdges) {
            check_im2col<float>(test_case(), edge);
            check_im2col<double>(test_case(), edge);
        }
    });
}

template <typename T>
void check_col2im(const ConvCase& c, Edge edge) {
    const auto [rows, cols] = columns_shape(c);
    Random random(c.name);
    const RandomArray<T> columns(random, rows * cols, edge);
    Sums wanted(c.x.size());
    reference::for_columns(c.x, c.conv.window,
                           [&](index_t i, index_t j) { wanted[i].add(columns[j]); });

    const Guarded<T> x(c.x.size(), edge);
    col2im<T>({columns.data(), rows, cols}, c.conv.window, {x.data(), c.x});
    expect_sums(x, wanted);
}

TEST_P(Im2colTest, Col2imAddsWindows) {
    for_every_isa([&] {
        for (const Edge edge : kEdges) {
            check_col2im<float>(test_case(), edge);
            check_col2im<double>(test_case(), edge);
        }
    });
}

/// <im2col(x), c> = <x, col2im(c)>, exactly: the numbers are small integers, so neither side
/// rounds.
TEST_P(Im2colTest, Col2imIsAdjoint) {
    const ConvCase& c = test_case();
    const auto [rows, cols] = columns_shape(c);
    Random random(c.name);
    const Guarded<double> x(c.x.size()), columns(rows * cols);
    const Guarded<double> columns_of_x(rows * cols), image(c.x.size());
    for (double& value : x) value = static_cast<double>(random.below(17) - 8);
    for (double& value : columns) value = static_cast<double>(random.below(17) - 8);
    im2col<double>({x.data(), c.x}, c.conv.window, {columns_of_x.data(), rows, cols});
    col2im<double>({columns.data(), rows, cols}, c.conv.window, {image.data(), c.x});
    double left = 0, right = 0;
    for (index_t j = 0; j < columns.size(); ++j) left += columns_of_x[j] * columns[j];
    for (index_t i = 0; i < x.size(); ++i) right += x[i] * image[i];
    EXPECT_EQ(left, right);
}

TEST(Im2col, WrongShapeOfColumns) {
    const Shape4 shape = {1, 2, 4, 5};
    const Window2d window = {.kernel_h = 2, .kernel_w = 3};
    const Guarded<float> x(shape.size()), columns(9 * 12);
    EXPECT_THROW(im2col<float>({x.data(), shape}, window, {columns.data(), 12, 9}),
                 std::invalid_argument);
    EXPECT_THROW(im2col<float>({x.data(), shape}, window, {columns.data(), 9, 11}),
                 std::invalid_argument);
    EXPECT_THROW(col2im<float>({columns.data(), 8, 12}, window, {x.data(), shape}),
                 std::invalid_argument);
    EXPECT_TRUE(x.untouched());
    EXPECT_TRUE(columns.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
