// Layers that copy pixels to other places.
#include <algorithm>
#include <stdexcept>

#include "model/layer.h"
#include "runtime/parallel.h"

namespace pocketcnn::model {
namespace {

template <typename T>
Layer<T> channel_shuffle_layer(const Site<T>& site) {
    const index_t groups = site.settings.integer("groups", 1);
    const Shape4 image = site.image();
    if (image.c % groups != 0) throw std::invalid_argument("its groups do not divide the channels");
    const auto run = [=](const Call<T>& call) {
        const auto copied = static_cast<double>(batch(image, call.n).size());
        parallel_for(call.n * image.c, copied, [&](index_t i) {
            const index_t n = i / image.c, channel = i % image.c;
            // The channels of a group lie together in x, those of as many groups in y.
            const index_t from = channel % groups * (image.c / groups) + channel / groups;
            std::copy_n(call.x[0] + (n * image.c + from) * image.plane(), image.plane(),
                        call.y + i * image.plane());
        });
    };
    return {site.input(), run};
}

Shape4 padded(const Shape4& shape, const Padding& padding) {
    const auto& [vertical, horizontal] = padding;
    return {shape.n, shape.c, vertical.before + shape.h + vertical.after,
            horizontal.before + shape.w + horizontal.after};
}

template <typename T>
Layer<T> zero_pad2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const std::optional<Padding> padding = site.settings.padding(-(index_t{1} << 31));
    if (!padding) throw std::invalid_argument("its padding must be numbers");
    const Shape4 out = padded(image, *padding);
    if (out.h < 1 || out.w < 1) throw std::invalid_argument("its padding leaves nothing");
    const auto run = [image, padding = *padding](const Call<T>& call) {
        zero_pad(call.x[0], batch(image, call.n), padding, call.y);
    };
    return {sample(out), run};
}

template <typename T>
constexpr Kind<T> kKinds[] = {
    {"ChannelShuffle", channel_shuffle_layer<T>},
    {"ZeroPad2d", zero_pad2d_layer<T>},
};

}  // namespace

template <typename T>
void zero_pad(const T* x, const Shape4& shape, const Padding& padding, T* y) {
    const index_t top = padding.vertical.before, bottom = padding.vertical.after;
    const index_t left = padding.horizontal.before, right = padding.horizontal.after;
    const Shape4 out = padded(shape, padding);
    // What x has of a row of y.
    const index_t first = std::max<index_t>(0, -left);
    const index_t width = std::min(shape.w, shape.w + right) - first;
    parallel_for(shape.n * shape.c, static_cast<double>(out.size()), [&](index_t i) {
        T* to = y + i * out.plane();
        for (index_t row = -top; row < shape.h + bottom; ++row, to += out.w) {
            std::fill_n(to, out.w, T{0});
            if (row < 0 || row >= shape.h || width <= 0) continue;
            std::copy_n(x + i * shape.plane() + row * shape.w + first, width,
                        to + std::max<index_t>(0, left));
        }
    });
}

template <typename T>
std::span<const Kind<T>> copy_kinds() {
    return kKinds<T>;
}

#define POCKETCNN_INSTANTIATE(T)                                         \
    template void zero_pad(const T*, const Shape4&, const Padding&, T*); \
    template std::span<const Kind<T>> copy_kinds();
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::model
