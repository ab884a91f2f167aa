#include "network.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "model/json.h"
#include "model/safetensors.h"

namespace pocketcnn::wasm {
namespace {

using session::Array, session::Value;

std::map<std::string, std::span<float>> spans_of(std::map<std::string, Array<float>>& arrays) {
    std::map<std::string, std::span<float>> spans;
    for (auto& [name, array] : arrays) {
        const auto size = static_cast<std::size_t>(session::size_of(array.shape));
        spans[name] = {array.values.data(), size};
    }
    return spans;
}

Value architecture_of(const model::TensorFile& file, const std::string& path) {
    const auto found = file.metadata().find("architecture");
    if (found == file.metadata().end()) {
        throw std::runtime_error(path + " is a safetensors file, but not a pocketcnn model");
    }
    return model::parse_json(found->second);
}

std::map<std::string, Array<float>> arrays_of(model::TensorFile& file) {
    for (const model::Tensor& tensor : file.tensors()) {
        if (tensor.dtype == "F32") continue;
        throw std::invalid_argument("tensor " + session::in_quotes(tensor.name) + " is " +
                                    tensor.dtype + ", but must be F32");
    }
    return file.read<float>();
}

}  // namespace

Network Network::load(const std::filesystem::path& path) {
    model::TensorFile file(path);
    Value architecture = architecture_of(file, path.string());
    return {std::move(architecture), arrays_of(file)};
}

// The map's nodes, and with them the arrays, stay where they are when it is moved.
Network::Network(Value architecture, std::map<std::string, Array<float>> arrays)
    : architecture_(std::move(architecture)),
      arrays_(spans_of(arrays)),
      tensors_(std::move(arrays)),
      graph_(session::build_graph(architecture_, tensors_)),
      values_(graph_.shapes.size()) {}

index_t Network::size_of_value(std::size_t k) const {
    return n_ * session::size_of(graph_.shapes[k]);
}

void Network::begin(const float* images, index_t n) {
    n_ = n;
    for (std::size_t k = 0; k < values_.size(); ++k) values_[k] = Buffer<float>(size_of_value(k));
    std::copy_n(images, size_of_value(0), value(0));
}

void Network::compute(std::size_t k) {
    const session::Node<float>& node = graph_.nodes[k];
    std::vector<const float*> x;
    for (const std::size_t source : node.sources) x.push_back(value(source));
    if (node.layer.run) {
        node.layer.run({n_, x, value(k + 1)});
    } else {
        std::copy_n(x[0], size_of_value(k + 1), value(k + 1));
    }
}

void Network::forward(const float* images, index_t n) {
    begin(images, n);
    for (std::size_t k = 0; k < graph_.nodes.size(); ++k) compute(k);
}

}  // namespace pocketcnn::wasm
