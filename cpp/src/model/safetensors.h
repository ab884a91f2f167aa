// The .safetensors container (https://huggingface.co/docs/safetensors): 8 bytes for the header's
// length, the header in JSON, and the arrays' bytes one after the other. Two entries of its
// metadata are our own checksums, as python/pocketcnn/_files/tensor_file.py describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/file.h"
#include "session/tensors.h"
#include "session/text.h"

namespace pocketcnn::model {

using session::Array, session::Shape;

/// What the header says about one array; its dtype is "F32", "F64", "I8", ...
struct Tensor {
    std::string name, dtype;
    Shape shape;
    index_t bytes;
};

/// A file whose header has been checked, and describes exactly the bytes that follow.
class TensorFile {
  public:
    /// Throws as File, and std::runtime_error where the file is not whole.
    explicit TensorFile(const std::filesystem::path& path);

    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    /// In the order of the file.
    const std::vector<Tensor>& tensors() const { return tensors_; }

    /// Reads all arrays, which are of the type T, once. Throws std::runtime_error if their checksum
    /// is wrong.
    template <typename T>
    std::map<std::string, Array<T>> read();

  private:
    [[noreturn]] void refuse(const std::string& reason) const;
    void check_header(const std::string& length_and_header);

    std::filesystem::path path_;
    File file_;
    std::map<std::string, std::string> metadata_;
    std::vector<Tensor> tensors_;
    std::string data_crc_;  // as it is stated; empty where it is not
};

}  // namespace pocketcnn::model
