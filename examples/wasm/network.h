// A saved network as a page looks into it: what every layer gives, and arrays that may be
// exchanged.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "session/graph.h"

namespace pocketcnn::wasm {

class Network {
  public:
    /// Reads a model file of float32. Throws as Model::load.
    static Network load(const std::filesystem::path& path);

    const session::Value& architecture() const { return architecture_; }
    const session::Graph<float>& graph() const { return graph_; }
    /// Names of all arrays.
    const std::map<std::string, std::span<float>>& arrays() const { return arrays_; }

    /// Takes n images, which are copied: value 0.
    void begin(const float* images, index_t n);
    /// Computes value k + 1 from those before it.
    void compute(std::size_t k);
    /// Both, for all values.
    void forward(const float* images, index_t n);

    index_t images() const { return n_; }
    /// Elements of a value of all images.
    index_t size_of_value(std::size_t k) const;
    float* value(std::size_t k) const { return values_[k].data(); }

  private:
    Network(session::Value architecture, std::map<std::string, session::Array<float>> arrays);

    session::Value architecture_;
    std::map<std::string, std::span<float>> arrays_;
    session::Tensors<float> tensors_;  // to which the graph and the spans refer
    session::Graph<float> graph_;
    index_t n_ = 0;
    std::vector<Buffer<float>> values_;
};

}  // namespace pocketcnn::wasm
