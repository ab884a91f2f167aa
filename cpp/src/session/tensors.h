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

/// How the weights of large fully connected layers are stored: as they come, or rounded to 16 bits.
enum class Storage { whole, bfloat16 };

/// Arrays, each to be used by one layer.
template <typename T>
class Tensors {
  public:
    explicit Tensors(std::map<std::string, Array<T>> arrays, Storage storage = Storage::whole)
        : arrays_(std::move(arrays)), storage_(storage) {}

    Storage storage() const { return storage_; }
    /// Throws std::invalid_argument unless there is such an array.
    const T* use(const std::string& name, const Shape& shape);
    /// Likewise; the array goes to the caller.
    Buffer<T> take(const std::string& name, const Shape& shape);
    /// Throws std::invalid_argument if an array was not used.
    void require_all_used() const;

  private:
    std::map<std::string, Array<T>> arrays_;
    Storage storage_;
    std::set<std::string> used_;
};

}  // namespace pocketcnn::session
