// Activations, which take inputs of any shape.
#include <pocketcnn/activation.h>
#include <pocketcnn/prelu.h>

#include <stdexcept>

#include "model/layer.h"

namespace pocketcnn::model {
namespace {

template <typename T>
Layer<T> elementwise(const Shape& shape, const Function& function) {
    const auto run = [function, size = size_of(shape)](const Call<T>& call) {
        activate(function.kind, call.x[0], call.y, call.n * size, function.parameter);
    };
    return {shape, run, function};
}

template <typename T, Activation kind>
Layer<T> plain_layer(const Site<T>& site) {
    return elementwise<T>(site.input(), {kind});
}

template <typename T>
Layer<T> leaky_relu_layer(const Site<T>& site) {
    const double slope = site.settings.number("negative_slope", 0.01);
    return elementwise<T>(site.input(), {Activation::leaky_relu, slope});
}

template <typename T>
Layer<T> elu_layer(const Site<T>& site) {
    return elementwise<T>(site.input(), {Activation::elu, site.settings.number("alpha", 1)});
}

template <typename T>
Layer<T> gelu_layer(const Site<T>& site) {
    const std::string approximate = site.settings.text("approximate", "none");
    if (approximate != "none" && approximate != "tanh") {
        throw std::invalid_argument("approximate is " + in_quotes(approximate) +
                                    ", but must be 'none' or 'tanh'");
    }
    const bool by_tanh = approximate == "tanh";
    return elementwise<T>(site.input(), {by_tanh ? Activation::gelu_tanh : Activation::gelu});
}

template <typename T>
Layer<T> prelu_layer(const Site<T>& site) {
    const index_t channels = site.settings.integer("channels", 1, 1);
    const Shape& shape = site.input();
    if (channels > 1 && (shape.empty() || shape[0] != channels)) {
        throw std::invalid_argument("it takes " + std::to_string(channels) +
                                    " channels, but gets " + text_of(shape));
    }
    const T* slopes = site.tensor("weight", {channels});
    const auto run = [=, size = size_of(shape)](const Call<T>& call) {
        const ChannelShape planes = channels == 1 ? ChannelShape{1, 1, call.n * size}
                                                  : ChannelShape{call.n, channels, size / channels};
        prelu(call.x[0], planes, slopes, call.y);
    };
    return {shape, run};
}

template <typename T>
constexpr Kind<T> kKinds[] = {
    {"ELU", elu_layer<T>},
    {"GELU", gelu_layer<T>},
    {"HardSigmoid", plain_layer<T, Activation::hard_sigmoid>},
    {"HardSwish", plain_layer<T, Activation::hard_swish>},
    {"LeakyReLU", leaky_relu_layer<T>},
    {"PReLU", prelu_layer<T>},
    {"ReLU", plain_layer<T, Activation::relu>},
    {"ReLU6", plain_layer<T, Activation::relu6>},
    {"SiLU", plain_layer<T, Activation::silu>},
    {"Sigmoid", plain_layer<T, Activation::sigmoid>},
    {"Tanh", plain_layer<T, Activation::tanh>},
};

}  // namespace

template <typename T>
std::span<const Kind<T>> activation_kinds() {
    return kKinds<T>;
}

template std::span<const Kind<float>> activation_kinds();
template std::span<const Kind<double>> activation_kinds();

}  // namespace pocketcnn::model
