// Activations, which take inputs of any shape.
#include <pocketcnn/activation.h>
#include <pocketcnn/prelu.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "runtime/parallel.h"
#include "session/layer.h"

namespace pocketcnn::session {
namespace {

template <typename T>
Layer<T> elementwise(const Shape& shape, const Function& function) {
    return {shape, run_of<T>(function, shape), function};
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

/// y = f(x) for every number.
template <typename T, typename F>
Layer<T> each(const Shape& shape, F f) {
    const auto run = [f, size = size_of(shape)](const Call<T>& call) {
        parallel_for(call.n, static_cast<double>(call.n * size), [&](index_t i) {
            const T* x = call.x[0] + i * size;
            std::transform(x, x + size, call.y + i * size, f);
        });
    };
    return {shape, run};
}

/// NaN stays NaN.
template <typename T>
Layer<T> clip_layer(const Site<T>& site) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const double low = site.settings.finite("low", -infinity);
    const double high = site.settings.finite("high", infinity);
    if (low > high) throw std::invalid_argument("low is above high");
    return each<T>(site.input(), [low = static_cast<T>(low), high = static_cast<T>(high)](T x) {
        if (x != x) return x;
        const T raised = x > low ? x : low;
        return raised < high ? raised : high;
    });
}

template <typename T>
Layer<T> scale_shift_layer(const Site<T>& site) {
    const T scale = static_cast<T>(site.settings.finite("scale", 1));
    const double shift = site.settings.finite("shift", 0);
    if (shift == 0) return each<T>(site.input(), [scale](T x) { return x * scale; });
    return each<T>(site.input(), [scale, shift = static_cast<T>(shift)](T x) {
        // Rounded twice, as Python does, on machines with fused multiply-adds too.
        const volatile T scaled = x * scale;
        return scaled + shift;
    });
}

}  // namespace

template <typename T>
Run<T> run_of(const Function& function, const Shape& shape) {
    return [function, size = size_of(shape)](const Call<T>& call) {
        activate(function.kind, call.x[0], call.y, call.n * size, function.parameter);
    };
}

template <typename T>
std::span<const Kind<T>> activation_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"Clip", clip_layer<T>},
        {"ELU", elu_layer<T>},
        {"GELU", gelu_layer<T>},
        {"HardSigmoid", plain_layer<T, Activation::hard_sigmoid>},
        {"HardSwish", plain_layer<T, Activation::hard_swish>},
        {"LeakyReLU", leaky_relu_layer<T>},
        {"PReLU", prelu_layer<T>},
        {"ReLU", plain_layer<T, Activation::relu>},
        {"ReLU6", plain_layer<T, Activation::relu6>},
        {"ScaleShift", scale_shift_layer<T>},
        {"SiLU", plain_layer<T, Activation::silu>},
        {"Sigmoid", plain_layer<T, Activation::sigmoid>},
        {"Tanh", plain_layer<T, Activation::tanh>},
    };
    return kinds;
}

template Run<float> run_of(const Function&, const Shape&);
template Run<double> run_of(const Function&, const Shape&);
template std::span<const Kind<float>> activation_kinds();
template std::span<const Kind<double>> activation_kinds();

}  // namespace pocketcnn::session
