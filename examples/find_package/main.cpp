// Finds the vertical edges of a small picture: a convolution with Sobel's filter, then a max
// pooling that keeps the strongest answer of every 2x2 pixels.
#include <pocketcnn/conv2d.h>
#include <pocketcnn/pool2d.h>
#include <pocketcnn/runtime.h>

#include <iomanip>
#include <iostream>
#include <vector>

using pocketcnn::index_t;
using pocketcnn::Shape4;

namespace {

void print(const char* title, const std::vector<float>& plane, index_t width) {
    std::cout << title << '\n';
    for (std::size_t i = 0; i < plane.size(); ++i) {
        const bool end_of_row = (static_cast<index_t>(i) + 1) % width == 0;
        std::cout << std::setw(3) << plane[i] << (end_of_row ? "\n" : "");
    }
}

}  // namespace

int main() {
    // One picture of one channel: dark, and bright from the third column on; its last rows are
    // dark altogether.
    const Shape4 shape = {1, 1, 6, 8};
    const std::vector<float> picture = {
        0, 0, 1, 1, 1, 1, 1, 1,  //
        0, 0, 1, 1, 1, 1, 1, 1,  //
        0, 0, 1, 1, 1, 1, 1, 1,  //
        0, 0, 1, 1, 1, 1, 1, 1,  //
        0, 0, 0, 0, 0, 0, 0, 0,  //
        0, 0, 0, 0, 0, 0, 0, 0,  //
    };
    const std::vector<float> sobel = {-1, 0, 1, -2, 0, 2, -1, 0, 1};

    const pocketcnn::Conv2d conv = {.window = {.kernel_h = 3, .kernel_w = 3}, .filters = 1};
    const Shape4 edges_shape = pocketcnn::conv2d_output_shape(shape, conv);
    std::vector<float> edges(static_cast<std::size_t>(edges_shape.size()));
    pocketcnn::conv2d<float>({picture.data(), shape}, sobel.data(), nullptr, conv,
                             {edges.data(), edges_shape});

    const pocketcnn::Pool2d pool = {
        .window = {.kernel_h = 2, .kernel_w = 2, .stride_h = 2, .stride_w = 2}};
    const Shape4 pooled_shape = pocketcnn::pool2d_output_shape(edges_shape, pool);
    std::vector<float> pooled(static_cast<std::size_t>(pooled_shape.size()));
    std::vector<index_t> argmax(pooled.size());
    pocketcnn::max_pool2d<float>({edges.data(), edges_shape}, pool, {pooled.data(), pooled_shape},
                                 argmax.data());

    print("vertical edges", edges, edges_shape.w);
    print("the strongest of every 2x2 pixels", pooled, pooled_shape.w);
    std::cout << "computed with " << pocketcnn::isa() << '\n';
}
