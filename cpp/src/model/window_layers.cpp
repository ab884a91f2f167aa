// Layers whose windows slide over images.
#include <pocketcnn/pool2d.h>

#include <cstdint>
#include <limits>

#include "model/layer.h"

namespace pocketcnn::model {
namespace {

Shape4 batch(Shape4 shape, index_t n) {
    shape.n = n;
    return shape;
}

Shape sample(const Shape4& shape) {
    return {shape.c, shape.h, shape.w};
}

template <typename T>
Layer<T> conv2d_layer(const Site<T>& site) {
    Settings& settings = site.settings;
    const index_t channels = settings.integer("in_channels", 1);
    const index_t filters = settings.integer("out_channels", 1);
    const index_t groups = settings.integer("groups", 1, 1);
    const bool has_bias = settings.flag("bias", true);
    settings.pass_over("init");
    const Shape4 image = site.image(channels);
    const Conv2d conv = {settings.window(image.h, image.w, false), filters, groups};
    const Shape4 weight = conv2d_weight_shape(image, conv);
    const Shape4 maps = conv2d_output_shape(image, conv);
    const Convolution<T> part = {image, conv,
                                 site.tensor("weight", {weight.n, weight.c, weight.h, weight.w}),
                                 has_bias ? site.tensor("bias", {filters}) : nullptr};
    const auto run = [part, maps](const Call<T>& call) {
        conv2d<T>({call.x[0], batch(part.image, call.n)}, part.weight, part.bias, part.conv,
                  {call.y, batch(maps, call.n)});
    };
    return {sample(maps), run, part};
}

template <typename Place, typename T>
void keep_largest(const Call<T>& call, const Shape4& image, const Pool2d& pool, const Shape4& out) {
    const Shape4 to = batch(out, call.n);
    const Buffer<Place> places(to.size());
    max_pool2d<T>({call.x[0], batch(image, call.n)}, pool, {call.y, to}, places.data());
}

template <typename T>
Layer<T> max_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const Pool2d pool = {site.settings.window(image.h, image.w, true),
                         site.settings.flag("ceil_mode", false)};
    const Shape4 out = pool2d_output_shape(image, pool);
    const auto run = [=](const Call<T>& call) {
        if (image.plane() <= std::numeric_limits<std::int32_t>::max()) {
            keep_largest<std::int32_t>(call, image, pool, out);
        } else {
            keep_largest<index_t>(call, image, pool, out);
        }
    };
    return {sample(out), run, BlockPool{pool, PoolKind::max}};
}

template <typename T>
Run<T> run_of_average(const Shape4& image, const Pool2d& pool, bool count_include_pad) {
    return [=, out = pool2d_output_shape(image, pool)](const Call<T>& call) {
        avg_pool2d<T>({call.x[0], batch(image, call.n)}, pool, count_include_pad,
                      {call.y, batch(out, call.n)});
    };
}

template <typename T>
Layer<T> avg_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const Pool2d pool = {site.settings.window(image.h, image.w, true),
                         site.settings.flag("ceil_mode", false)};
    const bool include = site.settings.flag("count_include_pad", true);
    return {sample(pool2d_output_shape(image, pool)), run_of_average<T>(image, pool, include),
            BlockPool{pool, PoolKind::average, include}};
}

template <typename T>
Layer<T> global_avg_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const Window2d window = {image.h, image.w, image.h, image.w};
    return {{image.c, 1, 1}, run_of_average<T>(image, {window}, true)};
}

template <typename T>
constexpr Kind<T> kKinds[] = {
    {"AvgPool2d", avg_pool2d_layer<T>},
    {"Conv2d", conv2d_layer<T>},
    {"GlobalAvgPool2d", global_avg_pool2d_layer<T>},
    {"MaxPool2d", max_pool2d_layer<T>},
};

}  // namespace

template <typename T>
std::span<const Kind<T>> window_kinds() {
    return kKinds<T>;
}

template std::span<const Kind<float>> window_kinds();
template std::span<const Kind<double>> window_kinds();

}  // namespace pocketcnn::model
