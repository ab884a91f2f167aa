// The fully connected layer and its gradients against the naive product.
#include <pocketcnn/linear.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "compare.h"
#include "gemm/gemm.h"
#include "isa_test.h"
#include "random.h"
#include "runtime/isa.h"

namespace pocketcnn::tests {
namespace {

class LinearTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(LinearTest);

/// All operations of one layer: x (n, in), weight (out, in).
template <typename T>
void check_layer(index_t n, index_t in, index_t out, Edge edge) {
    const std::string name =
        "n " + std::to_string(n) + ", in " + std::to_string(in) + ", out " + std::to_string(out);
    SCOPED_TRACE(name + (sizeof(T) == sizeof(float) ? ", float" : ", double"));
    Random random(name);
    const RandomArray<T> x(random, n * in, edge), weight(random, out * in, edge);
    const RandomArray<T> bias(random, out, edge), dy(random, n * out, edge);
    const auto x_at = [&](index_t row, index_t k) { return x[row * in + k]; };
    const auto weight_at = [&](index_t row, index_t k) { return weight[row * in + k]; };
    const auto dy_at = [&](index_t row, index_t k) { return dy[row * out + k]; };

    Sums wanted = reference::product(n, out, in, x_at,
                                     [&](index_t k, index_t col) { return weight_at(col, k); });
    const Guarded<T> plain(n * out, edge);
    linear<T>({x.data(), n, in}, {weight.data(), out, in}, nullptr, {plain.data(), n, out});
    expect_sums(plain, wanted);

    for (index_t i = 0; i < n * out; ++i) wanted[i].add(bias[i % out]);
    const Guarded<T> y(n * out, edge);
    linear<T>({x.data(), n, in}, {weight.data(), out, in}, bias.data(), {y.data(), n, out});
    expect_sums(y, wanted);

    const Guarded<T> dx(n * in, edge);
    linear_backward_input<T>({dy.data(), n, out}, {weight.data(), out, in}, {dx.data(), n, in});
    expect_sums(dx, reference::product(n, in, out, dy_at, weight_at));

    const Guarded<T> dweight(out * in, edge);
    linear_backward_weight<T>({dy.data(), n, out}, {x.data(), n, in}, {dweight.data(), out, in});
    expect_sums(dweight,
                reference::product(
                    out, in, n, [&](index_t row, index_t k) { return dy_at(k, row); }, x_at));

    const Guarded<T> negated(out * in, edge);
    std::fill(negated.begin(), negated.end(), T{0});
    linear_weight_update<T>({dy.data(), n, out}, {x.data(), n, in},
                            sgd_step<T>({.lr = 1}, nullptr, negated.data()));
    EXPECT_TRUE(negated.margins_intact());
    for (index_t i = 0; i < out * in; ++i) EXPECT_EQ(negated[i], -dweight[i]) << i;

    const Guarded<T> dbias(out, edge);
    linear_backward_bias<T>({dy.data(), n, out}, dbias.data());
    expect_sums(dbias, reference::product(1, out, n, [](index_t, index_t) { return T{1}; }, dy_at));
}

/// With weights of 16 bits, which are exact in float and in the reference.
void check_narrow_weights(index_t n, index_t in, index_t out, Edge edge) {
    const std::string name =
        "n " + std::to_string(n) + ", in " + std::to_string(in) + ", out " + std::to_string(out);
    SCOPED_TRACE(name);
    Random random(name);
    const RandomArray<float> x(random, n * in, edge), whole(random, out * in, edge);
    const RandomArray<float> bias(random, out, edge);
    const Guarded<BFloat16> weight(out * in, edge);
    std::transform(whole.begin(), whole.end(), weight.begin(), narrowed);
    Sums wanted = reference::product(
        n, out, in, [&](index_t row, index_t k) { return x[row * in + k]; },
        [&](index_t k, index_t col) { return widened(weight[col * in + k]); });
    for (index_t i = 0; i < n * out; ++i) wanted[i].add(bias[i % out]);
    const Guarded<float> y(n * out, edge);
    linear({x.data(), n, in}, {weight.data(), out, in}, bias.data(), {y.data(), n, out});
    expect_sums(y, wanted);
}

TEST_P(LinearTest, WeightsOf16Bits) {
    for (const index_t n : {1, 2, 3, 4, 5, 7, 11, 12, 40}) {
        for (const index_t in : {1, 7, 16, 33, 100, 2000, 5000}) {
            for (const index_t out : {1, 2, 3, 6, 17, 50}) {
                check_narrow_weights(n, in, out, kEdges[(n + in + out) % 2]);
            }
        }
    }
}

TEST(BFloat16Test, IsTheNearest) {
    const auto bits = [](float x) { return static_cast<int>(narrowed(x).bits); };
    EXPECT_EQ(bits(1), 0x3f80);
    EXPECT_EQ(bits(1 + 0x1p-8F), 0x3f80);  // ties to even
    EXPECT_EQ(bits(1 + 0x3p-8F), 0x3f82);
    EXPECT_EQ(bits(1 + 0x1.002p-8F), 0x3f81);  // just above a tie
    EXPECT_EQ(bits(-0.0F), 0x8000);
    EXPECT_EQ(bits(0x1.fffffep127F), 0x7f80);  // beyond the largest: infinite
    EXPECT_EQ(bits(-INFINITY), 0xff80);
    const std::uint32_t least_nan = 0x7f80'0001;
    float nan;
    std::memcpy(&nan, &least_nan, sizeof(nan));
    EXPECT_TRUE(std::isnan(widened(narrowed(nan))));
}

TEST_P(LinearTest, SmallSizes) {
    for (index_t n = 1; n <= 10; ++n) {
        for (index_t in = 1; in <= 10; ++in) {
            for (index_t out = 1; out <= 10; ++out) {
                const Edge edge = kEdges[(n + in + out) % 2];
                check_layer<float>(n, in, out, edge);
                check_layer<double>(n, in, out, edge);
            }
        }
    }
}

/// Around the limits of the gradients' products of few rows and long sums, and of many rows.
TEST_P(LinearTest, LongSums) {
    for (const index_t n : {8, 13, 85, 128, 129}) {
        for (const index_t in : {47, 48, 60, 96, 100}) {
            for (const index_t out : {index_t{511}, index_t{512}, 6 * n - 1, 6 * n + 100}) {
                const Edge edge = kEdges[(n + in + out) % 2];
                check_layer<float>(n, in, out, edge);
                check_layer<double>(n, in, out, edge);
            }
        }
    }
}

TEST_P(LinearTest, FewInputs) {
    for (const index_t n : {8, 21, 130, 600}) {
        for (const index_t in : {1, 7, 16, 33, 100, 101}) {
            for (const index_t out : {4 * in - 1, 4 * in, 4 * in + 259}) {
                const Edge edge = kEdges[(n + in + out) % 2];
                check_layer<float>(n, in, out, edge);
                check_layer<double>(n, in, out, edge);
            }
        }
    }
}

TEST_P(LinearTest, NothingIn) {
    for (const Edge edge : kEdges) {
        check_layer<float>(0, 5, 3, edge);
        check_layer<float>(4, 0, 3, edge);
        check_layer<float>(4, 5, 0, edge);
        check_layer<double>(0, 0, 0, edge);
    }
}

/// Rows of the product are n, in or out; so each of them meets the edges of the tile.
template <typename T>
void check_tile_edges(Edge edge) {
    const index_t rows = kernels<T>().product.rows, cols = kernels<T>().product.cols;
    for (const index_t n : {rows - 1, rows, rows + 1, cols + 1}) {
        for (const index_t out : {cols - 1, cols, cols + 1, 2 * cols - 1}) {
            check_layer<T>(n, 3, out, edge);
            check_layer<T>(n, out, rows + 1, edge);
        }
    }
}

TEST_P(LinearTest, TileEdges) {
    for (const Edge edge : kEdges) {
        check_tile_edges<float>(edge);
        check_tile_edges<double>(edge);
    }
}

/// Sizes of every way: as dot products, in packed panels, and with the rows of x in the lanes.
TEST_P(LinearTest, ShortSums) {
    for (const index_t n : {1, 3, 9, 17, 40, 130}) {
        for (const index_t in : {5, 16, 30, 90}) {
            for (const index_t out : {3, 21, 50, 301}) {
                const Edge edge = kEdges[(n + in + out) % 2];
                check_layer<float>(n, in, out, edge);
                check_layer<double>(n, in, out, edge);
            }
        }
    }
    for (const Edge edge : kEdges) {
        for (const index_t depth : {1, 24, 25, 112, 113}) {
            for (const index_t n : {7, 8, 15, 17}) {
                check_layer<float>(n, depth, 97, edge);
                check_layer<double>(n, depth, 49, edge);
            }
            check_layer<double>(17, depth, 96, edge);
        }
    }
}

TEST_P(LinearTest, SlicesOfTheDepth) {
    constexpr index_t slice = gemm::kDepthBlock;
    for (const index_t depth : {slice - 1, slice, slice + 1, 2 * slice + 1}) {
        for (const Edge edge : kEdges) {
            check_layer<float>(5, depth, 3, edge);
            check_layer<float>(3, 5, depth, edge);
            check_layer<float>(depth, 3, 5, edge);
            check_layer<double>(5, depth, 3, edge);
            check_layer<double>(depth, 3, 5, edge);
        }
    }
}

/// y is cut into blocks of rows and columns, and if these are few, its depth into tasks too.
TEST_P(LinearTest, BlocksOfDotProducts) {
    for (const index_t depth : {640, 641, 1500}) {
        check_layer<float>(6, depth, 13, Edge::back);
        check_layer<double>(7, depth, 16, Edge::front);
    }
    check_layer<float>(121, 700, 46, Edge::back);
    check_layer<float>(3, 700, 400, Edge::back);
    check_layer<double>(250, 9, 10, Edge::back);
}

/// Rows of x in the lanes, and more weights than one task has.
TEST_P(LinearTest, StreamedWeights) {
    for (const Edge edge : kEdges) {
        check_layer<float>(12, 683, 384, edge);
        check_layer<double>(13, 683, 385, edge);
    }
    check_layer<float>(70, 683, 391, Edge::back);
    check_layer<float>(17, 1100, 384, Edge::front);
}

/// Weights that begin inside a cache line are copied to cache lines for many rows.
TEST_P(LinearTest, CopiedWeights) {
    for (const Edge edge : kEdges) {
        check_layer<float>(33, 64, 46, edge);
        check_layer<double>(40, 650, 5, edge);
    }
}

/// A dot product does not depend on the other rows.
TEST_P(LinearTest, BatchesHaveTheBitsOfSingleRows) {
    constexpr index_t n = 130, in = 1300, out = 21;
    Random random("rows");
    const RandomArray<float> x(random, n * in), weight(random, out * in), bias(random, out);
    const Guarded<float> all(n * out), one(out);
    linear<float>({x.data(), n, in}, {weight.data(), out, in}, bias.data(), {all.data(), n, out});
    for (index_t row = 0; row < n; ++row) {
        linear<float>({x.data() + row * in, 1, in}, {weight.data(), out, in}, bias.data(),
                      {one.data(), 1, out});
        for (index_t col = 0; col < out; ++col) ASSERT_EQ(one[col], all[row * out + col]);
    }
}

/// Few rows have code of their own: rows of weights that a vector divides, or not, and more columns
/// than one task has.
TEST_P(LinearTest, FewRows) {
    for (index_t n = 1; n <= 8; ++n) {
        for (const index_t in : {31, 64, 1027}) {
            check_layer<float>(n, in, 19, kEdges[n % 2]);
            check_layer<double>(n, in, 6, kEdges[n % 2]);
        }
    }
}

/// The gradients read their right operand in place: whole and half tiles of rows, and last panels
/// of one to three vectors, which overlap the panel before them. 1024 columns are packed.
template <typename T>
void check_rows_in_place(index_t in, Edge edge) {
    const index_t rows = kernels<T>().product.rows;
    check_layer<T>(rows + rows / 2, in, 2 * rows + 1, edge);
    check_layer<T>(2 * rows, in, rows + rows / 2 + 1, edge);
}

TEST_P(LinearTest, RowsInPlace) {
    for (const Edge edge : kEdges) {
        for (const index_t in : {50, 65, 79, 84, 95, 97, 769, 1023, 1024, 1025}) {
            check_rows_in_place<float>(in, edge);
            check_rows_in_place<double>(in, edge);
        }
    }
}

TEST_P(LinearTest, SharedByThreads) {
    check_layer<float>(37, 1025, 65, Edge::back);
    check_layer<double>(37, 1025, 65, Edge::back);
}

TEST(Linear, SizesThatDoNotFit) {
    const Guarded<float> a(12), b(12), out(16);
    EXPECT_THROW(linear<float>({a.data(), 3, 4}, {b.data(), 4, 3}, nullptr, {out.data(), 3, 4}),
                 std::invalid_argument);
    EXPECT_THROW(linear<float>({a.data(), 3, 4}, {b.data(), 3, 4}, nullptr, {out.data(), 4, 3}),
                 std::invalid_argument);
    EXPECT_THROW(
        linear_backward_input<float>({a.data(), 3, 4}, {b.data(), 3, 4}, {out.data(), 3, 4}),
        std::invalid_argument);
    EXPECT_THROW(
        linear_backward_weight<float>({a.data(), 3, 4}, {b.data(), 4, 3}, {out.data(), 4, 3}),
        std::invalid_argument);
    EXPECT_TRUE(out.untouched());
}

TEST(Linear, NegativeSizes) {
    const Guarded<float> a(12), out(16);
    EXPECT_THROW(linear<float>({a.data(), 3, -4}, {a.data(), 2, -4}, nullptr, {out.data(), 3, 2}),
                 std::invalid_argument);
    EXPECT_THROW(linear<float>({a.data(), -3, 4}, {a.data(), 2, 4}, nullptr, {out.data(), -3, 2}),
                 std::invalid_argument);
    EXPECT_THROW(
        linear_backward_input<float>({a.data(), -3, 4}, {a.data(), 4, 3}, {out.data(), -3, 3}),
        std::invalid_argument);
    EXPECT_THROW(
        linear_backward_weight<float>({a.data(), 3, -4}, {a.data(), 3, 4}, {out.data(), -4, 4}),
        std::invalid_argument);
    EXPECT_THROW(linear_backward_bias<float>({a.data(), 3, -4}, out.data()), std::invalid_argument);
    EXPECT_TRUE(out.untouched());
}

}  // namespace
}  // namespace pocketcnn::tests
