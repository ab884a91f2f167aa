// The direct convolution: sizes around its tiles, images that take several blocks, channels that
// take several bands, and the same bits for every team. test_conv2d.cpp has the other cases.
#include <pocketcnn/runtime.h>

#include <string>

#include "conv_cases.h"
#include "isa_test.h"
#include "runtime/isa.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

template <typename T>
void check(const ConvCase& c) {
    check_forward<T>(c, true);
    check_forward<T>(c, false);
    check_input_grad<T>(c);
    check_weight_grad<T>(c);
}

class Conv2dDirectSizesTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(Conv2dDirectSizesTest);

/// Filters around the tile's rows, pixels around its vectors.
template <typename T>
void check_tiles() {
    const index_t lanes = kernels<T>().lanes;
    for (index_t filters = 1; filters <= 2 * kernels<T>().direct.rows + 1; ++filters) {
        for (const index_t pixels : {index_t{1}, lanes - 1, lanes, lanes + 1, 3 * lanes + 2,
                                     8 * lanes, 9 * lanes - 1, 17 * lanes + 3}) {
            const std::string name =
                std::to_string(filters) + " filters, " + std::to_string(pixels) + " pixels";
            check<T>({name, {2, 1, 1, pixels + 1}, {{.kernel_w = 2}, filters}});
            if (::testing::Test::HasFailure()) return;
        }
    }
}

TEST_P(Conv2dDirectSizesTest, Tiles) {
    check_tiles<float>();
    check_tiles<double>();
}

const ConvCase kLarge[] = {
    {"several_blocks_of_rows", {1, 2, 260, 70}, {Window2d::square(3, 1, 1), 9}},
    {"several_blocks_of_columns",
     {1, 1, 5, 4500},
     {{.kernel_h = 3, .kernel_w = 4, .pad_top = 1, .pad_left = 2}, 5}},
    {"several_blocks_of_strided_columns",
     {1, 1, 7, 9001},
     {{.kernel_h = 2, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_right = 1}, 2}},
    {"several_bands", {1, 80, 40, 41}, {Window2d::square(3, 1, 1), 6}},
    {"several_bands_of_one_filter", {2, 150, 30, 33}, {Window2d::square(2, 2), 1}},
    {"many_filters", {2, 1, 9, 10}, {Window2d::square(3), 70}},
    {"many_groups", {2, 300, 5, 6}, {{.kernel_h = 3, .kernel_w = 3, .pad_left = 1}, 300, 300}},
};

TEST_P(Conv2dDirectSizesTest, LargeShapes) {
    for (const ConvCase& c : kLarge) {
        check<float>(c);
        check<double>(c);
    }
}

/// The results must not depend on the number of threads in a single bit.
template <typename T>
void check_threads(const ConvCase& c) {
    SCOPED_TRACE(c.name);
    const ConvOperands<T> o(c);
    Conv2d conv = c.conv;
    conv.algorithm = ConvAlgorithm::direct;
    std::vector<T> y_of_one, dweight_of_one;
    for (const auto& [team, threads] : crews({1, 2, 3, 8})) {
        use(team, threads);
        const Guarded<T> y(c.y().size()), dweight(c.weights());
        conv2d<T>(o.x_view(), o.weight.data(), o.bias.data(), conv, {y.data(), c.y()});
        conv2d_backward_weight<T>(o.dy_view(), o.x_view(), conv, dweight.data());
        if (threads == 1) {
            y_of_one = y.copy();
            dweight_of_one = dweight.copy();
        }
        EXPECT_TRUE(same_bits(y_of_one, y.copy())) << team << ", " << threads << " threads";
        EXPECT_TRUE(same_bits(dweight_of_one, dweight.copy()))
            << team << ", " << threads << " threads";
    }
}

TEST(Conv2dDirectThreadsTest, SameBits) {
    const KeepThreads keep;
    for (const ConvCase& c : kLarge) check_threads<float>(c);
}

}  // namespace
}  // namespace pocketcnn::tests
