#include "gradients.h"

#include <pocketcnn/linear.h>
#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <stdexcept>

namespace pocketcnn::wasm {
namespace {

using session::batch, session::Layer, session::List, session::Settings, session::Shape,
    session::Value;

Shape4 image_of(const Shape& shape) {
    return {1, shape[0], shape[1], shape[2]};
}

void max_pool_backward(const Pool2d& pool, const ImageView<const float>& x, const float* dy,
                       float* dx) {
    // Inference has not kept the places: they are found again.
    const Shape4 out = pool2d_output_shape(x.shape, pool);
    const Buffer<float> y(out.size());
    const Buffer<std::int32_t> places(out.size());
    max_pool2d(x, pool, ImageView<float>{y.data(), out}, places.data());
    max_pool2d_backward<float>({dy, out}, places.data(), {dx, x.shape});
}

}  // namespace

Gradients::Gradients(Network& network)
    : network_(network),
      dropped_(network.graph().nodes.size()),
      masks_(network.graph().nodes.size()),
      by_values_(network.graph().shapes.size()) {
    const List& entries = *session::member(network.architecture(), "layers").as<List>();
    parameters_.reserve(network.arrays().size());
    for (std::size_t k = 0; k < entries.size(); ++k) {
        const std::string& name = session::text_member(entries[k], "name");
        const std::string& kind = session::text_member(entries[k], "kind");
        if (kind == "Residual" || network.graph().nodes[k].sources != std::vector{k}) {
            throw std::invalid_argument("layer " + session::in_quotes(name) +
                                        " does not take what the layer before it gives alone");
        }
        if (kind == "Dropout") {
            dropped_[k] = Settings(session::member(entries[k], "config")).number("p");
        }
        backward_.push_back(backward_of(k, name, kind));
    }
}

Gradients::Backward Gradients::backward_of(std::size_t k, const std::string& name,
                                           const std::string& kind) {
    const Layer<float>& layer = network_.graph().nodes[k].layer;
    const Shape& from = network_.graph().shapes[k];
    const index_t size = session::size_of(from);
    if (const auto* part = std::get_if<session::Convolution<float>>(&layer.part)) {
        return of_convolution(*part, name);
    }
    if (const auto* part = std::get_if<session::Function>(&layer.part)) {
        return [part = *part, size](const Call& call) {
            const float* kept = gradient_takes_input(part.kind) ? call.x : call.y;
            if (call.dx == nullptr) return;
            activate_backward(part.kind, call.dy, kept, call.dx, call.n * size, part.parameter);
        };
    }
    if (const auto* part = std::get_if<BlockPool>(&layer.part)) {
        return [part = *part, image = image_of(from)](const Call& call) {
            const Shape4 shape = batch(image, call.n);
            if (call.dx == nullptr) return;
            if (part.kind == PoolKind::max) {
                max_pool_backward(part.pool, {call.x, shape}, call.dy, call.dx);
            } else {
                const Shape4 out = pool2d_output_shape(shape, part.pool);
                avg_pool2d_backward<float>({call.dy, out}, part.pool, part.count_include_pad,
                                           {call.dx, shape});
            }
        };
    }
    if (kind == "Linear") return of_linear(size, session::size_of(layer.output), name);
    if (kind == "Dropout" || !layer.run) return of_dropout(k);
    throw std::invalid_argument("layer " + session::in_quotes(name) + " is " + kind +
                                ", of which this module has no gradient");
}

Gradients::Backward Gradients::of_convolution(const session::Convolution<float>& part,
                                              const std::string& name) {
    float* weight = gradient_of(name + ".weight");
    float* bias = gradient_of(name + ".bias");
    return [=](const Call& call) {
        const Shape4 from = batch(part.image, call.n);
        const ImageView<const float> dy = {call.dy, conv2d_output_shape(from, part.conv)};
        conv2d_backward_weight<float>(dy, {call.x, from}, part.conv, weight, bias);
        if (call.dx == nullptr) return;
        conv2d_backward_input<float>(dy, part.weight, part.conv, {call.dx, from});
    };
}

Gradients::Backward Gradients::of_linear(index_t in, index_t out, const std::string& name) {
    float* by_weight = gradient_of(name + ".weight");
    float* by_bias = gradient_of(name + ".bias");
    const float* weight = network_.arrays().at(name + ".weight").data();
    return [=](const Call& call) {
        const MatrixView<const float> dy = {call.dy, call.n, out};
        linear_backward_weight<float>(dy, {call.x, call.n, in}, {by_weight, out, in});
        if (by_bias != nullptr) linear_backward_bias<float>(dy, by_bias);
        if (call.dx == nullptr) return;
        linear_backward_input<float>(dy, {weight, out, in}, {call.dx, call.n, in});
    };
}

Gradients::Backward Gradients::of_dropout(std::size_t k) {
    return [this, k, size = session::size_of(network_.graph().shapes[k])](const Call& call) {
        if (call.dx == nullptr) return;
        std::copy_n(call.dy, call.n * size, call.dx);
        if (!in_training_ || dropped_[k] == 0) return;
        for (index_t i = 0; i < call.n * size; ++i) call.dx[i] *= masks_[k][i];
    };
}

float* Gradients::gradient_of(const std::string& name) {
    const auto found = network_.arrays().find(name);
    if (found == network_.arrays().end()) return nullptr;
    const std::span<float> value = found->second;
    parameters_.push_back({value, Buffer<float>(static_cast<index_t>(value.size()))});
    return parameters_.back().gradient.data();
}

const float* Gradients::forward_in_training(const float* images, index_t n, std::mt19937& random) {
    in_training_ = true;
    network_.begin(images, n);
    for (std::size_t k = 0; k < backward_.size(); ++k) {
        network_.compute(k);
        if (dropped_[k] > 0) drop(k, random);
    }
    return network_.value(backward_.size());
}

/// Dropout (Srivastava et al., 2014): some numbers become zero, and the others larger by as much.
void Gradients::drop(std::size_t k, std::mt19937& random) {
    const double kept = 1 - dropped_[k];
    const auto below = static_cast<std::uint32_t>(kept * 0x1p32);
    const auto factor = static_cast<float>(1 / kept);
    const index_t size = network_.size_of_value(k + 1);
    float* y = network_.value(k + 1);
    masks_[k] = Buffer<float>(size);
    for (index_t i = 0; i < size; ++i) {
        masks_[k][i] = random() < below ? factor : 0.0F;
        y[i] *= masks_[k][i];
    }
}

const float* Gradients::forward(const float* images, index_t n) {
    in_training_ = false;
    network_.forward(images, n);
    return network_.value(backward_.size());
}

void Gradients::backward(const float* by_scores, bool to_images) {
    const std::size_t last = backward_.size();
    const std::size_t first = to_images ? 0 : 1;
    for (std::size_t k = first; k <= last; ++k) {
        by_values_[k] = Buffer<float>(network_.size_of_value(k));
    }
    if (!to_images) by_values_[0] = {};
    std::copy_n(by_scores, network_.size_of_value(last), by_values_[last].data());
    for (std::size_t k = last; k-- > 0;) {
        backward_[k]({network_.images(), network_.value(k), network_.value(k + 1),
                      by_values_[k + 1].data(), by_values_[k].data()});
    }
}

}  // namespace pocketcnn::wasm
