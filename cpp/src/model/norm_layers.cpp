// Layers that normalise images.
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/local_response_norm.h>

#include "model/layer.h"

namespace pocketcnn::model {
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
        Shape4 batch = image;
        batch.n = call.n;
        local_response_norm<T>({call.x[0], batch}, norm, {call.y, batch});
    };
    return {site.input(), run};
}

template <typename T>
constexpr Kind<T> kKinds[] = {
    {"BatchNorm2d", batch_norm2d_layer<T>},
    {"LocalResponseNorm", local_response_norm_layer<T>},
};

}  // namespace

template <typename T>
std::span<const Kind<T>> norm_kinds() {
    return kKinds<T>;
}

template std::span<const Kind<float>> norm_kinds();
template std::span<const Kind<double>> norm_kinds();

}  // namespace pocketcnn::model
