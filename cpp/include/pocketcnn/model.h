// Networks that Python saved with `net.save`, computed without Python. The CMake component "model".
#pragma once

#include <pocketcnn/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace pocketcnn {

enum class DType { float32, float64 };

/// A network with its weights, in inference. It never changes: copies share the weights, and any
/// number of threads may call predict() at once.
class Model {
  public:
    /// Reads a model file. Throws std::system_error where there is no such file or it cannot be
    /// read, and std::runtime_error where it is damaged, or no model that this version computes; a
    /// layer of a class that the user defined in Python is none. The message begins with the path.
    static Model load(const std::filesystem::path& path);

    /// Shapes of one image and of its scores, without the batch axis.
    const std::vector<index_t>& input_shape() const;
    const std::vector<index_t>& output_shape() const;
    DType dtype() const;
    /// Names of the classes, one for each score; empty where the file has none.
    const std::vector<std::string>& classes() const;

    /// The scores of n images: the bits that Python's `net.predict(images)` gives, for any number
    /// of threads. Both arrays are contiguous, n times the shapes above. Throws
    /// std::invalid_argument if the network is of the other type, n is negative, or an array that
    /// is needed is null.
    void predict(const float* images, index_t n, float* scores) const;
    void predict(const double* images, index_t n, double* scores) const;

  private:
    struct Content;
    explicit Model(std::shared_ptr<const Content> content);

    std::shared_ptr<const Content> content_;
};

}  // namespace pocketcnn
