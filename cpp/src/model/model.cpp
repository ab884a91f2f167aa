#include <pocketcnn/model.h>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>

#include "model/json.h"
#include "model/safetensors.h"
#include "session/network.h"

namespace pocketcnn {

struct Model::Content {
    std::variant<session::Network<float>, session::Network<double>> network;
    std::vector<std::string> classes;
};

namespace {

using session::in_quotes, session::List, session::Members, session::Value;

constexpr const char* name_of(DType dtype) {
    return dtype == DType::float32 ? "float32" : "float64";
}

/// The architecture's JSON in a file of a version that is known.
const std::string& architecture_of(const model::TensorFile& file, const std::string& path) {
    constexpr int newest = 2;
    const auto& metadata = file.metadata();
    const auto format = metadata.find("format"), architecture = metadata.find("architecture");
    if (format == metadata.end() || format->second != "pocketcnn" ||
        architecture == metadata.end()) {
        throw std::runtime_error(path + " is a safetensors file, but not a pocketcnn model");
    }
    const auto found = metadata.find("format_version");
    const std::string version = found == metadata.end() ? "" : found->second;
    constexpr std::size_t most_digits = 9;
    if (version.empty() || version.size() > most_digits ||
        version.find_first_not_of("0123456789") != version.npos || std::stoi(version) < 1) {
        throw std::runtime_error(path + " is not a valid model: format version " +
                                 in_quotes(version));
    }
    if (std::stoi(version) > newest) {
        throw std::runtime_error(path +
                                 " was written by a newer pocketcnn: its format version is " +
                                 version + ", but this one reads up to " + std::to_string(newest));
    }
    return architecture->second;
}

/// The names of the classes, as many as the first axis of the output has.
std::vector<std::string> classes_of(const Value& architecture, const session::Shape& output) {
    const Members& members = *architecture.as<Members>();  // it has layers
    const auto found = members.find("classes");
    if (found == members.end() || found->second.is_null()) return {};
    const List* list = found->second.as<List>();
    std::vector<std::string> names;
    for (const Value& name : list == nullptr ? List() : *list) {
        if (const auto* text = name.as<std::string>()) names.push_back(*text);
    }
    const index_t count = output.empty() ? 0 : output.front();
    if (list == nullptr || names.size() != list->size() ||
        static_cast<index_t>(names.size()) != count) {
        throw std::invalid_argument("'classes' is " + session::excerpt_of(found->second) +
                                    ", but must be " + std::to_string(count) + " names");
    }
    return names;
}

template <typename T>
session::Network<T> read_network(const Value& architecture, model::TensorFile& file,
                                 const std::string& dtype) {
    const std::string wanted = std::is_same_v<T, float> ? "F32" : "F64";
    for (const model::Tensor& tensor : file.tensors()) {
        if (tensor.dtype != wanted) {
            throw std::invalid_argument("tensor " + in_quotes(tensor.name) + " is " + tensor.dtype +
                                        ", but the network is " + dtype);
        }
    }
    return {architecture, session::Tensors<T>(file.read<T>()), session::Norms::exact};
}

}  // namespace

Model::Model(std::shared_ptr<const Content> content) : content_(std::move(content)) {}

Model Model::load(const std::filesystem::path& path) {
    model::TensorFile file(path);
    const std::string& text = architecture_of(file, path.string());
    try {
        const Value architecture = model::parse_json(text);
        const std::string& dtype = session::text_member(architecture, "dtype");
        const auto finish = [&](auto network) {
            std::vector<std::string> classes = classes_of(architecture, network.output_shape());
            return Model(
                std::make_shared<const Content>(Content{std::move(network), std::move(classes)}));
        };
        if (dtype == "float32") return finish(read_network<float>(architecture, file, dtype));
        if (dtype == "float64") return finish(read_network<double>(architecture, file, dtype));
        throw std::invalid_argument("dtype is " + in_quotes(dtype) +
                                    ", but must be float32 or float64");
    } catch (const std::invalid_argument& error) {
        throw std::runtime_error(path.string() + " is not a valid model: " + error.what());
    }
}

const std::vector<index_t>& Model::input_shape() const {
    return std::visit([](const auto& network) -> const auto& { return network.input_shape(); },
                      content_->network);
}

const std::vector<index_t>& Model::output_shape() const {
    return std::visit([](const auto& network) -> const auto& { return network.output_shape(); },
                      content_->network);
}

const std::vector<std::string>& Model::classes() const {
    return content_->classes;
}

DType Model::dtype() const {
    return content_->network.index() == 0 ? DType::float32 : DType::float64;
}

namespace {

template <typename T, typename Networks>
const session::Network<T>& network_of(const Networks& networks, DType dtype) {
    if (const auto* network = std::get_if<session::Network<T>>(&networks)) return *network;
    throw std::invalid_argument(std::string("the network is ") + name_of(dtype) +
                                ", but images and scores are of the other type");
}

}  // namespace

void Model::predict(const float* images, index_t n, float* scores) const {
    network_of<float>(content_->network, dtype()).predict(images, n, scores);
}

void Model::predict(const double* images, index_t n, double* scores) const {
    network_of<double>(content_->network, dtype()).predict(images, n, scores);
}

}  // namespace pocketcnn
