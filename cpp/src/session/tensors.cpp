#include "session/tensors.h"

#include <stdexcept>

namespace pocketcnn::session {

template <typename T>
const T* Tensors<T>::use(const std::string& name, const Shape& shape) {
    const auto found = arrays_.find(name);
    if (found == arrays_.end())
        throw std::invalid_argument("its tensor " + in_quotes(name) + " is missing");
    if (found->second.shape != shape) {
        throw std::invalid_argument("its tensor " + in_quotes(name) + " has shape " +
                                    text_of(found->second.shape) + ", but must have " +
                                    text_of(shape));
    }
    used_.insert(name);
    return found->second.values.data();
}

template <typename T>
Buffer<T> Tensors<T>::take(const std::string& name, const Shape& shape) {
    use(name, shape);
    return std::move(arrays_.at(name).values);
}

template <typename T>
void Tensors<T>::require_all_used() const {
    for (const auto& [name, array] : arrays_) {
        if (!used_.contains(name)) {
            throw std::invalid_argument("no layer has the tensor " + in_quotes(name));
        }
    }
}

template class Tensors<float>;
template class Tensors<double>;

}  // namespace pocketcnn::session
