// Layers that normalise images.
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/group_norm.h>
#include <pocketcnn/local_response_norm.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "session/layer.h"

namespace pocketcnn::session {
namespace {

std::shared_ptr<const std::vector<double>> in_double(const auto* values, index_t size) {
    return std::make_shared<const std::vector<double>>(values, values + size);
}

template <typename T>
Layer<T> batch_norm2d_layer(const Site<T>& site) {
    const index_t channels = site.settings.integer("num_features", 1);
    const double eps = site.settings.number("eps", 1e-5);
    site.settings.pass_over("momentum");
    const Shape4 image = site.image(channels);
    const auto of_channels = [&](const char* key) { return site.tensor(key, {channels}); };
    const Normalization<T> part = {of_channels("weight"), of_channels("bias"),
                                   in_double(of_channels("running_mean"), channels),
                                   in_double(of_channels("running_var"), channels), eps};
    const auto run = [part, image](const Call<T>& call) {
        batch_norm_infer<T>(call.x[0], {call.n, image.c, image.plane()},
                            {part.gamma, part.beta, part.eps},
                            {part.mean->data(), part.variance->data()}, call.y);
    };
    return {site.input(), run, part};
}

template <typename T>
Layer<T> local_response_norm_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const LocalResponseNorm norm = {
        site.settings.integer("size", 1), site.settings.number("alpha", 1e-4),
        site.settings.number("beta", 0.75), site.settings.number("k", 1)};
    const auto run = [image, norm](const Call<T>& call) {
        const Shape4 shape = batch(image, call.n);
        local_response_norm<T>({call.x[0], shape}, norm, {call.y, shape});
    };
    return {site.input(), run};
}

template <typename T>
Layer<T> group_norm_layer(const Site<T>& site) {
    const index_t channels = site.settings.integer("channels", 1);
    const index_t groups = site.settings.integer("groups", 1);
    const double eps = site.settings.number("eps", 1e-5);
    const Shape4 image = site.image(channels);
    if (channels % groups != 0)
        throw std::invalid_argument("its groups do not divide the channels");
    const GroupNorm<T> norm = {groups, site.tensor("weight", {channels}),
                               site.tensor("bias", {channels}), eps};
    const auto run = [=](const Call<T>& call) {
        const Buffer<double> mean(call.n * groups), variance(call.n * groups);
        group_norm<T>(call.x[0], {call.n, image.c, image.plane()}, norm, mean.data(),
                      variance.data(), call.y);
    };
    return {site.input(), run};
}

template <typename T>
Layer<T> normalize_layer(const Site<T>& site) {
    const auto units = std::make_shared<Units<T>>();
    units->mean = site.settings.numbers("mean");
    const std::size_t channels = units->mean.size();
    for (const double deviation : site.settings.numbers("std", channels)) {
        units->scale.push_back(static_cast<T>(1 / deviation));
    }
    units->zeros.resize(channels);
    units->ones.resize(channels, 1);
    const Shape4 image = site.image(static_cast<index_t>(channels));
    const auto run = [=](const Call<T>& call) {
        const auto [gamma, beta, mean, variance, eps] = units->known();
        batch_norm_infer<T>(call.x[0], {call.n, image.c, image.plane()}, {gamma, beta, eps},
                            {mean, variance}, call.y);
    };
    return {site.input(), run, std::shared_ptr<const Units<T>>(units)};
}

}  // namespace

template <typename T>
Convolution<T> folded(const Convolution<T>& conv, const Normalization<T>& norm) {
    const Shape4 shape = conv2d_weight_shape(conv.image, conv.conv);
    const index_t taps = shape.image();
    // Weights and, behind them, biases.
    auto memory = std::make_shared<const Buffer<T>>(shape.size() + shape.n);
    T *weight = memory->data(), *bias = weight + shape.size();
    for (index_t f = 0; f < shape.n; ++f) {
        const auto filter = static_cast<std::size_t>(f);
        const double scale = norm.gamma[f] / std::sqrt((*norm.variance)[filter] + norm.eps);
        for (index_t i = f * taps; i < (f + 1) * taps; ++i) {
            weight[i] = static_cast<T>(conv.weight[i] * scale);
        }
        const double before = conv.bias != nullptr ? conv.bias[f] : 0;
        bias[f] = static_cast<T>((before - (*norm.mean)[filter]) * scale + norm.beta[f]);
    }
    return {conv.image, conv.conv, weight, bias, std::move(memory), conv.kept, conv.units};
}

template <typename T>
std::span<const Kind<T>> norm_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"BatchNorm2d", batch_norm2d_layer<T>},
        {"GroupNorm", group_norm_layer<T>},
        {"LocalResponseNorm", local_response_norm_layer<T>},
        {"Normalize", normalize_layer<T>},
    };
    return kinds;
}

#define POCKETCNN_INSTANTIATE(T)                                                    \
    template Convolution<T> folded(const Convolution<T>&, const Normalization<T>&); \
    template std::span<const Kind<T>> norm_kinds();
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::session
