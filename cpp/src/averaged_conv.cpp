#include <pocketcnn/averaged_conv.h>

#include <stdexcept>

#include "conv/slices.h"

namespace pocketcnn {
namespace {

void require_shapes(const Shape4& x, const AveragedConv& block, const Shape4& y) {
    if (y != pool2d_output_shape(conv2d_output_shape(x, block.conv), block.pool)) {
        throw std::invalid_argument("y does not have the shape that the block gives");
    }
}

}  // namespace

template <typename T>
void averaged_conv(ImageView<const T> x, const T* weight, const T* bias, const AveragedConv& block,
                   ImageView<T> maps, ImageView<T> y) {
    require_shapes(x.shape, block, y.shape);
    const Slices slices(x.shape, maps.shape, sizeof(T), transforms_weights(x.shape, block.conv));
    Slices::run(slices.count(), multiply_adds(x.shape, maps.shape, block.conv), [&](index_t i) {
        const index_t begin = slices.begin(i), end = slices.end(i);
        const ImageView<T> part = images(maps, begin, end);
        conv2d<T>(images(x, begin, end), weight, bias, block.conv, part);
        activate(block.activation, part.data, part.data, part.shape.size());
        avg_pool2d<T>(constant(part), block.pool, block.count_include_pad, images(y, begin, end));
    });
}

template <typename T>
void averaged_conv_backward(ImageView<const T> dy, const T* maps, ImageView<const T> x,
                            const T* weight, const AveragedConv& block,
                            const ConvBlockGrads<T>& grads) {
    require_shapes(x.shape, block, dy.shape);
    const Shape4 shape = conv2d_output_shape(x.shape, block.conv);
    const conv::Problem problem(x.shape, block.conv);
    const Slices slices(
        x.shape, shape, sizeof(T),
        grads_transform_weights({problem, block.conv.algorithm}, grads.dx != nullptr));
    slice_gradients<T>(
        x.shape, shape, block.conv, slices, grads,
        [&](index_t begin, index_t end, const ConvBlockGrads<T>& to) {
            const ImageView<const T> in = images(x, begin, end);
            const ImageView<const T> out = images(ImageView<const T>{maps, shape}, begin, end);
            const Buffer<T> values(out.shape.size());
            avg_pool2d_backward<T>(images(dy, begin, end), block.pool, block.count_include_pad,
                                   {values.data(), out.shape});
            activate_backward(block.activation, values.data(), out.data, values.data(),
                              out.shape.size());
            const ImageView<const T> dmaps = {values.data(), out.shape};
            conv2d_backward_weight<T>(dmaps, in, block.conv, to.dweight, to.dbias);
            if (to.dx != nullptr) {
                conv2d_backward_input<T>(dmaps, weight, block.conv, {to.dx, in.shape});
            }
        });
}

#define POCKETCNN_INSTANTIATE(T)                                                             \
    template void averaged_conv(ImageView<const T>, const T*, const T*, const AveragedConv&, \
                                ImageView<T>, ImageView<T>);                                 \
    template void averaged_conv_backward(ImageView<const T>, const T*, ImageView<const T>,   \
                                         const T*, const AveragedConv&, const ConvBlockGrads<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
