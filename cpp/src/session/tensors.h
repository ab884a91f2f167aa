// The arrays of a network, by name.
#pragma once

#include <map>
#include <set>
#include <string>

#include "runtime/memory_pool.h"
#include "session/text.h"

namespace pocketcnn::session {

/// An array of its own memory.
template <typename T>
struct Array {
    Shape shape;
    Buffer<T> values;
};

/// Arrays, each to be used by one layer.
template <typename T>
class Tensors {
  public:
    explicit Tensors(std::map<std::string, Array<T>> arrays) : arrays_(std::move(arrays)) {}

    /// Throws std::invalid_argument unless there is such an array.
    const T* use(const std::string& name, const Shape& shape);
    /// Throws std::invalid_argument if an array was not used.
    void require_all_used() const;

  private:
    std::map<std::string, Array<T>> arrays_;
    std::set<std::string> used_;
};

}  // namespace pocketcnn::session
