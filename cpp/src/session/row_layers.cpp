// Layers that take rows of numbers, or make them.
#include <pocketcnn/linear.h>
#include <pocketcnn/softmax.h>

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "session/layer.h"

namespace pocketcnn::session {
namespace {

template <typename T>
Layer<T> dropout_layer(const Site<T>& site) {
    site.settings.pass_over("p");
    return {site.input(), {}};
}

template <typename T>
Layer<T> flatten_layer(const Site<T>& site) {
    return {{size_of(site.input())}, {}};
}

/// From 4 MiB of them on, few rows wait for weights (docs/measurements.md#weights-of-16-bits).
constexpr index_t kManyWeights = index_t{1} << 20;

/// The weights are rounded to 16 bits, and the others let go of.
Layer<float> narrow_linear_layer(const Site<float>& site, index_t in, index_t out,
                                 const float* bias) {
    const Buffer<float> weight = site.tensors.take(site.name + ".weight", {out, in});
    const auto narrow = std::make_shared<const Buffer<BFloat16>>(out * in);
    std::transform(weight.data(), weight.data() + out * in, narrow->data(), narrowed);
    const auto run = [=](const Call<float>& call) {
        linear({call.x[0], call.n, in}, {narrow->data(), out, in}, bias, {call.y, call.n, out});
    };
    return {{out}, run};
}

template <typename T>
Layer<T> linear_layer(const Site<T>& site) {
    const index_t in = site.settings.integer("in_features", 1);
    const index_t out = site.settings.integer("out_features", 1);
    const bool has_bias = site.settings.flag("bias", true);
    site.settings.pass_over("init");
    if (site.input() != Shape{in}) {
        throw std::invalid_argument("it takes inputs " + text_of({in}) + ", but gets " +
                                    text_of(site.input()));
    }
    const T* bias = has_bias ? site.tensor("bias", {out}) : nullptr;
    if constexpr (std::is_same_v<T, float>) {
        if (site.tensors.storage() == Storage::bfloat16 && in * out >= kManyWeights) {
            return narrow_linear_layer(site, in, out, bias);
        }
    }
    const MatrixView<const T> weight = {site.tensor("weight", {out, in}), out, in};
    const auto run = [=](const Call<T>& call) {
        linear<T>({call.x[0], call.n, in}, weight, bias, {call.y, call.n, out});
    };
    return {{out}, run};
}

template <typename T>
Layer<T> reshape_layer(const Site<T>& site) {
    const Shape shape = site.settings.integers("shape", 0);
    if (size_of(shape) != size_of(site.input())) {
        throw std::invalid_argument("it makes " + text_of(shape) + ", but gets " +
                                    text_of(site.input()));
    }
    return {shape, {}};
}

/// A layer that normalises along the axis which its settings name.
template <typename T, void (*normalize)(const T*, const AxisShape&, T*)>
Layer<T> axis_layer(const Site<T>& site) {
    const Shape& shape = site.input();
    const auto axes = static_cast<index_t>(shape.size()) + 1;  // with that of the batch
    const index_t named = site.settings.integer("axis", -axes, 1);
    if (named >= axes) {
        throw std::invalid_argument("axis is " + std::to_string(named) + ", but its input has " +
                                    std::to_string(axes) + " axes");
    }
    const index_t axis = (named + axes) % axes;
    if (axis == 0) {
        const auto run = [size = size_of(shape)](const Call<T>& call) {
            normalize(call.x[0], AxisShape{1, call.n, size}, call.y);
        };
        return {shape, run};
    }
    const auto middle = shape.begin() + (axis - 1);
    const index_t before = size_of(Shape(shape.begin(), middle));
    const index_t after = size_of(Shape(middle + 1, shape.end()));
    const auto run = [=, classes = *middle](const Call<T>& call) {
        normalize(call.x[0], AxisShape{call.n * before, classes, after}, call.y);
    };
    return {shape, run};
}

}  // namespace

template <typename T>
std::span<const Kind<T>> row_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"Dropout", dropout_layer<T>}, {"Flatten", flatten_layer<T>},
        {"Linear", linear_layer<T>},   {"LogSoftmax", axis_layer<T, log_softmax<T>>},
        {"Reshape", reshape_layer<T>}, {"Softmax", axis_layer<T, softmax<T>>},
    };
    return kinds;
}

template std::span<const Kind<float>> row_kinds();
template std::span<const Kind<double>> row_kinds();

}  // namespace pocketcnn::session
