// A layer in inference: what it gives for given inputs, and what it may be a part of.
#pragma once

#include <pocketcnn/conv_block.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "session/settings.h"
#include "session/tensors.h"

namespace pocketcnn::session {

/// Elements of a sample; throws std::invalid_argument for more than any memory holds.
index_t size_of(const Shape& shape);

/// Images as the layers have them: n at a time, or one without the batch axis.
inline Shape4 batch(const Shape4& image, index_t n) {
    return {n, image.c, image.h, image.w};
}
inline Shape sample(const Shape4& image) {
    return {image.c, image.h, image.w};
}

/// n samples go in, as many come out. y overlaps no x.
template <typename T>
struct Call {
    index_t n;
    std::span<const T* const> x;
    T* y;
};
template <typename T>
using Run = std::function<void(const Call<T>&)>;

/// (x - mean) * scale, by channel: what images become in front of a network.
template <typename T>
struct Units {
    std::vector<double> mean, ones;
    std::vector<T> scale, zeros;

    KnownNorm<T> known() const { return {scale.data(), zeros.data(), mean.data(), ones.data(), 0}; }
};

/// A convolution of images c, h, w.
template <typename T>
struct Convolution {
    Shape4 image;
    Conv2d conv;
    const T* weight;
    const T* bias;
    std::shared_ptr<const Buffer<T>> memory = {};  ///< of weights that are no tensor of the network
    std::shared_ptr<const KeptWeights<T>> kept = {};  ///< may be null
    std::shared_ptr<const Units<T>> units = {};       ///< of its images; may be null
};

/// Batch normalisation by known statistics, which are kept in double precision.
template <typename T>
struct Normalization {
    const T *gamma, *beta;
    std::shared_ptr<const std::vector<double>> mean, variance;
    double eps;

    KnownNorm<T> known() const { return {gamma, beta, mean->data(), variance->data(), eps}; }
};

/// An activation, with the slope or the alpha of those that have one.
struct Function {
    Activation kind;
    double parameter = 0;
};

/// The sum of two inputs of one shape; negative sums become zero where it says so.
struct Sum {
    bool rectify = false;
};

/// The mean of each channel.
struct GlobalAverage {
    Shape4 image;
};

/// The product of an image and a number for each of its channels.
struct Gate {
    Shape4 image;
    std::size_t numbers;  ///< which of the inputs they are
};

/// What a layer may be in an operation that stands for several layers.
template <typename T>
using Part =
    std::variant<std::monostate, Convolution<T>, Normalization<T>, std::shared_ptr<const Units<T>>,
                 Function, BlockPool, Sum, GlobalAverage, Gate>;

template <typename T>
struct Layer {
    Shape output;
    Run<T> run;  ///< empty where the output is the input, perhaps of another shape
    Part<T> part = {};
};

/// What makes a layer: its settings, the shapes that it takes, and its tensors.
template <typename T>
struct Site {
    Settings& settings;
    const std::vector<Shape>& inputs;
    Tensors<T>& tensors;
    const std::string& name;  ///< "block.body.conv1"

    const Shape& input() const { return inputs.front(); }
    /// One image of the input; throws std::invalid_argument unless the axes are (C, H, W), and as
    /// many channels as named, if that is not 0.
    Shape4 image(index_t channels = 0) const;
    const T* tensor(const char* key, const Shape& shape) const {
        return tensors.use(name + "." + key, shape);
    }
};

/// How a class of layers is made; `merges` says that it takes two inputs or more, else one.
template <typename T>
struct Kind {
    std::string_view name;
    Layer<T> (*make)(const Site<T>& site);
    bool merges = false;
};

/// The class of that name in Python; null where there is none.
template <typename T>
const Kind<T>* find_kind(std::string_view name);

// The classes, by the files that make them.
template <typename T>
std::span<const Kind<T>> activation_kinds();
template <typename T>
std::span<const Kind<T>> window_kinds();
template <typename T>
std::span<const Kind<T>> norm_kinds();
template <typename T>
std::span<const Kind<T>> copy_kinds();
template <typename T>
std::span<const Kind<T>> row_kinds();
template <typename T>
std::span<const Kind<T>> merge_kinds();

/// y = x with zeros around each image of the shape, or without its edges where a side is negative.
template <typename T>
void zero_pad(const T* x, const Shape4& shape, const Padding& padding, T* y);

template <typename T>
Run<T> run_of(const Convolution<T>& conv);

/// Of inputs of the shape.
template <typename T>
Run<T> run_of(const Function& function, const Shape& shape);

/// The convolution with other weights and biases, which do what the normalisation behind it does
/// but for rounding. They are computed in double precision.
template <typename T>
Convolution<T> folded(const Convolution<T>& conv, const Normalization<T>& norm);

/// The sum of two inputs of one shape, with which a Residual ends; negative sums become zero if
/// `rectify` is set, as by a ReLU that follows.
template <typename T>
Layer<T> sum_of_two(const Shape& shape, bool rectify);

}  // namespace pocketcnn::session
