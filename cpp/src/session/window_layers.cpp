// Layers whose windows slide over images.
#include <pocketcnn/conv_transpose2d.h>
#include <pocketcnn/pool2d.h>
#include <pocketcnn/upsample2d.h>

#include <cstdint>
#include <limits>
#include <stdexcept>

#include "session/layer.h"

namespace pocketcnn::session {
namespace {

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
    return {sample(maps), run_of(part), part};
}

/// One axis of a transposed convolution: the size of its output, and the convolution that it turns
/// round: its padding, and how many results it has beyond the image's, which are zero.
struct TransposedAxis {
    index_t out;
    Sides sides;
    index_t missing;
};

/// As python/pocketcnn/functional/_conv_transpose2d.py has it. Pixels that `added` appends are some
/// that padding cut off, and zeros after those. Without sides there are `stride` pixels for each.
TransposedAxis transposed_axis(index_t size, index_t span, index_t stride,
                               const std::optional<Sides>& stated, index_t added) {
    const index_t over = std::max<index_t>(0, span - stride);
    const Sides sides = stated.value_or(Sides{over / 2, over - over / 2});
    if (!stated) added += std::max<index_t>(0, stride - span);
    const index_t zeros = std::max<index_t>(0, added - sides.after);
    return {(size - 1) * stride + span - sides.before - sides.after + added,
            {sides.before, std::max<index_t>(0, sides.after - added)},
            zeros / stride};
}

template <typename T>
Layer<T> conv_transpose2d_layer(const Site<T>& site) {
    Settings& settings = site.settings;
    const index_t channels = settings.integer("in_channels", 1);
    const index_t filters = settings.integer("out_channels", 1);
    const index_t groups = settings.integer("groups", 1, 1);
    const Pair kernel = settings.pair("kernel_size"), stride = settings.pair("stride", Pair{1, 1});
    const Pair dilation = settings.pair("dilation", Pair{1, 1});
    const Pair added = settings.pair("output_padding", Pair{0, 0}, 0);
    const std::optional<Padding> padding = settings.padding();
    const bool has_bias = settings.flag("bias", true);
    settings.pass_over("init");
    const Shape4 image = site.image(channels);
    const auto axis = [&](std::size_t i, index_t size, Sides Padding::* sides) {
        const index_t span = dilation[i] * (kernel[i] - 1) + 1;
        return transposed_axis(size, span, stride[i],
                               padding ? std::optional((*padding).*sides) : std::nullopt, added[i]);
    };
    const TransposedAxis rows = axis(0, image.h, &Padding::vertical);
    const TransposedAxis columns = axis(1, image.w, &Padding::horizontal);
    if (rows.out < 1 || columns.out < 1) {
        throw std::invalid_argument("its padding leaves nothing of the output");
    }
    const Window2d window = {kernel[0],
                             kernel[1],
                             stride[0],
                             stride[1],
                             rows.sides.before,
                             rows.sides.after,
                             columns.sides.before,
                             columns.sides.after,
                             dilation[0],
                             dilation[1]};
    const Conv2d conv = {window, channels, groups};
    const Shape4 out = {1, filters, rows.out, columns.out};
    const T* weight = site.tensor("weight", {channels, filters / groups, kernel[0], kernel[1]});
    const T* bias = has_bias ? site.tensor("bias", {filters}) : nullptr;
    const Padding missing = {{0, rows.missing}, {0, columns.missing}};
    const Shape4 whole = {1, channels, image.h + rows.missing, image.w + columns.missing};
    if (conv2d_output_shape(out, conv) != whole) {
        throw std::invalid_argument("its output_padding does not fit its stride");
    }
    const auto run = [=](const Call<T>& call) {
        const Shape4 from = batch(image, call.n), to = batch(whole, call.n);
        const bool is_whole = whole == image;
        const Buffer<T> completed(is_whole ? 0 : to.size());
        if (!is_whole) zero_pad(call.x[0], from, missing, completed.data());
        conv_transpose2d<T>({is_whole ? call.x[0] : completed.data(), to}, weight, bias, conv,
                            {call.y, batch(out, call.n)});
    };
    return {sample(out), run};
}

template <typename T>
Layer<T> upsample_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const std::vector<double> scales = site.settings.numbers("scale_factor", 2);
    Upsample2d how = {.scale_h = scales.front(), .scale_w = scales.back()};
    how.align_corners = site.settings.flag("align_corners", false);
    if (site.settings.text("mode", "nearest") == "bilinear") how.mode = UpsampleMode::bilinear;
    const Shape4 out = upsample2d_output_shape(image, how);
    const auto run = [=](const Call<T>& call) {
        upsample2d<T>({call.x[0], batch(image, call.n)}, how, {call.y, batch(out, call.n)});
    };
    return {sample(out), run};
}

template <typename Place, typename T>
void keep_largest(const Call<T>& call, const Shape4& image, const Pool2d& pool, const Shape4& out) {
    const Shape4 to = batch(out, call.n);
    const Buffer<Place> places(to.size());
    max_pool2d<T>({call.x[0], batch(image, call.n)}, pool, {call.y, to}, places.data());
}

template <typename T>
Run<T> run_of_largest(const Shape4& image, const Pool2d& pool) {
    return [=, out = pool2d_output_shape(image, pool)](const Call<T>& call) {
        if (image.plane() <= std::numeric_limits<std::int32_t>::max()) {
            keep_largest<std::int32_t>(call, image, pool, out);
        } else {
            keep_largest<index_t>(call, image, pool, out);
        }
    };
}

template <typename T>
Layer<T> max_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const Pool2d pool = {site.settings.window(image.h, image.w, true),
                         site.settings.flag("ceil_mode", false)};
    return {sample(pool2d_output_shape(image, pool)), run_of_largest<T>(image, pool),
            BlockPool{pool, PoolKind::max}};
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

/// A window as large as the image.
Pool2d all_of(const Shape4& image) {
    return {{image.h, image.w, image.h, image.w}};
}

template <typename T>
Layer<T> global_avg_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    return {{image.c, 1, 1}, run_of_average<T>(image, all_of(image), true), GlobalAverage{image}};
}

template <typename T>
Layer<T> global_max_pool2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    return {{image.c, 1, 1}, run_of_largest<T>(image, all_of(image))};
}

}  // namespace

template <typename T>
Run<T> run_of(const Convolution<T>& conv) {
    return [conv, maps = conv2d_output_shape(conv.image, conv.conv)](const Call<T>& call) {
        const KnownNorm<T> units = conv.units ? conv.units->known() : KnownNorm<T>{};
        conv2d<T>({call.x[0], batch(conv.image, call.n)}, conv.weight, conv.bias, conv.conv,
                  {call.y, batch(maps, call.n)}, {}, conv.kept.get(),
                  conv.units ? &units : nullptr);
    };
}

template <typename T>
std::span<const Kind<T>> window_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"AvgPool2d", avg_pool2d_layer<T>},
        {"Conv2d", conv2d_layer<T>},
        {"ConvTranspose2d", conv_transpose2d_layer<T>},
        {"GlobalAvgPool2d", global_avg_pool2d_layer<T>},
        {"GlobalMaxPool2d", global_max_pool2d_layer<T>},
        {"MaxPool2d", max_pool2d_layer<T>},
        {"Upsample", upsample_layer<T>},
    };
    return kinds;
}

#define POCKETCNN_INSTANTIATE(T)                   \
    template Run<T> run_of(const Convolution<T>&); \
    template std::span<const Kind<T>> window_kinds();
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::session
