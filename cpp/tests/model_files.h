// Model files made by hand.
#pragma once

#include <gtest/gtest.h>
#include <pocketcnn/model.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace pocketcnn::tests {

/// A JSON text as a string within another.
inline std::string escaped(const std::string& text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        quoted += c;
    }
    return quoted + "\"";
}

/// The file of a header and of the bytes behind it.
inline std::string container(const std::string& header, const std::string& data = "") {
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
        length[i] = static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
    }
    return length + header + data;
}

inline constexpr const char* kFormat = R"("format":"pocketcnn","format_version":"1")";

/// A model of an architecture and of one-dimensional tensors or others in JSON, with their bytes.
inline std::string model_file(const std::string& architecture, const std::string& tensors,
                              const std::string& data, const std::string& metadata = kFormat) {
    return container(R"({"__metadata__":{)" + metadata + R"(,"architecture":)" +
                         escaped(architecture) + "}" + (tensors.empty() ? "" : ",") + tensors + "}",
                     data);
}

inline std::string bytes_of(const std::vector<float>& numbers) {
    std::string bytes(numbers.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), numbers.data(), bytes.size());
    return bytes;
}

/// Layers after each other, in single precision, of images (1, 1, 2).
inline std::string architecture(const std::string& layers,
                                const std::string& input_shape = "[1,1,2]") {
    return R"({"input_shape":)" + input_shape + R"(,"dtype":"float32","layers":[)" + layers + "]}";
}

/// Writes a file and loads it.
class ModelFile {
  public:
    ModelFile() : path_(::testing::TempDir() + "model_" + std::to_string(std::random_device{}())) {}
    ModelFile(const ModelFile&) = delete;
    ModelFile& operator=(const ModelFile&) = delete;
    ~ModelFile() { std::filesystem::remove(path_); }

    const std::string& path() const { return path_; }

    Model load(const std::string& content) const {
        std::ofstream(path_, std::ios::binary) << content;
        return Model::load(path_);
    }

  private:
    std::string path_;
};

}  // namespace pocketcnn::tests
