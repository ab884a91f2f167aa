#include "model/layer.h"

#include <algorithm>
#include <stdexcept>

namespace pocketcnn::model {

index_t size_of(const Shape& shape) {
    constexpr index_t most = index_t{1} << 58;
    index_t size = 1;
    for (const index_t extent : shape) {
        if (extent > 0 && size > most / extent) {
            throw std::invalid_argument("the shape " + text_of(shape) +
                                        " is larger than any memory");
        }
        size *= extent;
    }
    return size;
}

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
void Tensors<T>::require_all_used() const {
    for (const auto& [name, array] : arrays_) {
        if (!used_.contains(name)) {
            throw std::invalid_argument("no layer has the tensor " + in_quotes(name));
        }
    }
}

template <typename T>
Shape4 Site<T>::image(index_t channels) const {
    const Shape& shape = input();
    if (shape.size() != 3) {
        throw std::invalid_argument("it takes inputs (C, H, W), but gets " + text_of(shape));
    }
    if (channels != 0 && shape[0] != channels) {
        throw std::invalid_argument("it takes " + std::to_string(channels) +
                                    " channels, but gets " + std::to_string(shape[0]));
    }
    constexpr index_t most = index_t{1} << 31;  // products with a stride stay in 63 bits
    if (shape[1] > most || shape[2] > most) {
        throw std::invalid_argument("it gets images " + text_of(shape) +
                                    ", which are larger than any memory");
    }
    return {1, shape[0], shape[1], shape[2]};
}

template <typename T>
const Kind<T>* find_kind(std::string_view name) {
    for (const auto kinds : {activation_kinds<T>(), window_kinds<T>(), norm_kinds<T>(),
                             copy_kinds<T>(), row_kinds<T>(), merge_kinds<T>()}) {
        const auto found = std::ranges::find(kinds, name, &Kind<T>::name);
        if (found != kinds.end()) return &*found;
    }
    return nullptr;
}

template class Tensors<float>;
template class Tensors<double>;
template struct Site<float>;
template struct Site<double>;
template const Kind<float>* find_kind(std::string_view);
template const Kind<double>* find_kind(std::string_view);

}  // namespace pocketcnn::model
