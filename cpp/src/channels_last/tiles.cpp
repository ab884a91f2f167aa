#include "channels_last/tiles.h"

#include "channels_last/convolve.h"
#include "channels_last/maps.h"
#include "conv/kept_weights.h"
#include "conv/winograd/convolve.h"
#include "conv/winograd/geometry.h"

namespace pocketcnn::channels_last {
namespace {

/// The same images with the channels of a pixel together.
template <typename T>
LaneImages<T> together(LaneImages<T> planes, index_t n) {
    planes.pitch = pitch_of<std::remove_const_t<T>>(planes.channels);
    planes.image = planes.h * planes.w * planes.pitch;
    planes.end = planes.data + n * planes.image;
    return planes;
}

/// Computes one image without tiles.
template <typename T>
void convolve_directly(const TiledConvolution<T>& layer, const T* x, const T* addend, T* y) {
    const Shape4 maps = conv2d_output_shape(layer.image, layer.conv);
    const auto filters = filters_of(layer.weight, layer.bias,
                                    conv2d_weight_shape(layer.image, layer.conv), layer.epilogue);
    const Convolution<T> direct = {layer.image, layer.conv.window, filters, layer.from_planes};
    if (!layer.to_planes && !layer.pools) return convolve(direct, x, 1, addend, y);
    const Buffer<T> last(maps.plane() * pitch_of<T>(maps.c));
    convolve<T>(direct, x, 1, nullptr, last.data());
    if (layer.pools) return max_pool<T>(last.data(), maps, 1, Window2d::square(2, 2), y);
    to_planes<T>(last.data(), {y, maps});
}

}  // namespace

template <typename T>
void convolve(const TiledConvolution<T>& layer, const T* x, index_t n, const T* addend, T* y) {
    Shape4 images = layer.image;
    images.n = n;
    const conv::Problem problem(images, layer.conv);
    std::vector<winograd::Filters<T>> own;
    const auto& filters = conv::form_of(layer.kept, &KeptWeights<T>::Forms::points, own, [&] {
        return winograd::all_forward_filters(problem, layer.weight);
    });
    const Bounds<T> bounds = bounds_of<T>(layer.epilogue).value();
    winograd::LaneConvolution<T> tiles = {
        winograd::phases_of_input(problem, x, 0), winograd::lanes_of_output(problem, y, 0),
        winograd::output_grid(problem), winograd::Taps(layer.conv.window)};
    tiles.gate.own = layer.epilogue.activation == Activation::relu;
    tiles.end = {nullptr, addend, bounds.low, bounds.high};
    if (!layer.from_planes) tiles.source = together(tiles.source, n);
    if (layer.pools) {
        tiles.pools = true;
        tiles.result.h /= 2;
        tiles.result.w /= 2;
    }
    if (!layer.to_planes) tiles.result = together(tiles.result, n);
    winograd::SpoiledImages spoiled(n);
    winograd::convolve<T>(tiles, filters.front(), layer.bias, {spoiled, 0});
    spoiled.for_each([&](index_t image) {
        const index_t at = image * tiles.result.image;
        convolve_directly(layer, x + image * tiles.source.image,
                          addend != nullptr ? addend + at : nullptr, y + at);
    });
}

#define POCKETCNN_INSTANTIATE(T) \
    template void convolve(const TiledConvolution<T>&, const T*, index_t, const T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::channels_last
