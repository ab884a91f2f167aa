// Convolution for all small sizes, and for sizes around the register tile and the slices of the
// depth, which are the edges of the blocked product.
#include <pocketcnn/conv2d.h>

#include <string>

#include "conv_cases.h"
#include "gemm/gemm.h"
#include "isa_test.h"
#include "runtime/isa.h"

namespace pocketcnn::tests {
namespace {

class Conv2dSizesTest : public IsaTest {};
POCKETCNN_FOR_EVERY_ISA(Conv2dSizesTest);

template <typename T>
void check_all_passes(const ConvCase& c) {
    check_forward<T>(c, true);
    check_input_grad<T>(c);
    check_weight_grad<T>(c);
}

/// Every image of 1..10 by 1..10 with a window whose settings depend on it.
template <typename T>
void check_small_images(index_t kernel, index_t stride, index_t padding) {
    for (index_t h = 1; h <= 10; ++h) {
        for (index_t w = 1; w <= 10; ++w) {
            if (kernel > h + 2 * padding || kernel > w + 2 * padding) continue;
            const Window2d window = Window2d::square(kernel, stride, padding);
            const std::string name = std::to_string(h) + " by " + std::to_string(w) + ", kernel " +
                                     std::to_string(kernel) + ", stride " + std::to_string(stride) +
                                     ", padding " + std::to_string(padding);
            check_all_passes<T>({name, {1 + h % 2, 1 + w % 3, h, w}, {window, 1 + (h + w) % 5}});
            if (::testing::Test::HasFailure()) return;
        }
    }
}

TEST_P(Conv2dSizesTest, SmallImages) {
    for (const index_t kernel : {1, 2, 3, 5}) {
        check_small_images<float>(kernel, 1, kernel / 2);
        check_small_images<double>(kernel, 2, kernel / 2);
    }
    check_small_images<float>(2, 3, 0);
}

TEST_P(Conv2dSizesTest, FewChannelsAndFilters) {
    const Window2d window = {.kernel_h = 2, .kernel_w = 2, .pad_left = 1};
    for (index_t channels = 1; channels <= 10; ++channels) {
        for (index_t filters = 1; filters <= 10; ++filters) {
            const std::string name =
                std::to_string(channels) + " channels, " + std::to_string(filters) + " filters";
            check_all_passes<float>({name, {2, channels, 4, 3}, {window, filters}});
            check_all_passes<double>({name, {2, channels, 4, 3}, {window, filters}});
        }
    }
}

constexpr index_t kSlice = gemm::kDepthBlock;

/// Calls body(rows, cols, depth) for results of the product around multiples of the tile, and
/// for depths around multiples of a slice.
template <typename T, typename Body>
void for_tile_edges(Body&& body) {
    const index_t rows = kernels<T>().product.rows, cols = kernels<T>().product.cols;
    for (const index_t r : {rows - 1, rows, rows + 1, 2 * rows + 1}) {
        for (const index_t c : {cols - 1, cols, cols + 1, 2 * cols - 1, 2 * cols}) {
            body(r, c, index_t{r % 3 + 1});
        }
    }
    for (const index_t depth : {kSlice - 1, kSlice, kSlice + 1, 2 * kSlice + 1}) {
        body(rows, cols, depth);
        body(rows + 1, cols - 1, depth);
    }
}

std::string tile_name(index_t rows, index_t cols, index_t depth) {
    return std::to_string(rows) + " rows, " + std::to_string(cols) + " columns, depth " +
           std::to_string(depth);
}

/// The product's columns are pixels; its depth is channels.
template <typename T>
void check_forward_tiles() {
    for_tile_edges<T>([](index_t rows, index_t cols, index_t depth) {
        check_forward<T>({tile_name(rows, cols, depth), {1, depth, 1, cols}, {{}, rows}}, true);
    });
}

TEST_P(Conv2dSizesTest, ForwardTiles) {
    check_forward_tiles<float>();
    check_forward_tiles<double>();
}

/// The product's rows are channels; its depth is filters. Stride 1 and other strides use different
/// algorithms.
template <typename T>
void check_input_grad_tiles(index_t stride_h) {
    for_tile_edges<T>([&](index_t rows, index_t cols, index_t depth) {
        check_input_grad<T>(
            {tile_name(rows, cols, depth), {1, rows, 1, cols}, {{.stride_h = stride_h}, depth}});
    });
}

TEST_P(Conv2dSizesTest, InputGradientTiles) {
    check_input_grad_tiles<float>(1);
    check_input_grad_tiles<double>(1);
}

TEST_P(Conv2dSizesTest, StridedInputGradientTiles) {
    check_input_grad_tiles<float>(2);
    check_input_grad_tiles<double>(2);
}

/// The product's columns are channels; its depth is pixels.
template <typename T>
void check_weight_grad_tiles() {
    for_tile_edges<T>([](index_t rows, index_t cols, index_t depth) {
        check_weight_grad<T>({tile_name(rows, cols, depth), {1, cols, 1, depth}, {{}, rows}});
    });
}

TEST_P(Conv2dSizesTest, WeightGradientTiles) {
    check_weight_grad_tiles<float>();
    check_weight_grad_tiles<double>();
}

/// Tiles that cross the ends of rows and images, with kernels of several taps.
template <typename T>
void check_straddling_tiles() {
    const index_t cols = kernels<T>().product.cols, rows = kernels<T>().product.rows;
    for (const index_t width : {cols / 2 - 1, cols - 1, cols + 1}) {
        for (const index_t images : {1, 2, 5}) {
            const Window2d window = {.kernel_h = 2, .kernel_w = 3, .pad_left = 1, .pad_right = 1};
            const std::string name =
                std::to_string(images) + " images of width " + std::to_string(width);
            check_all_passes<T>({name, {images, 3, 4, width}, {window, rows + 1}});
        }
    }
}

TEST_P(Conv2dSizesTest, StraddlingTiles) {
    check_straddling_tiles<float>();
    check_straddling_tiles<double>();
}

}  // namespace
}  // namespace pocketcnn::tests
