#include "session/layer.h"

#include <algorithm>
#include <stdexcept>

namespace pocketcnn::session {

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
        const auto found = std::find_if(kinds.begin(), kinds.end(),
                                        [=](const Kind<T>& kind) { return kind.name == name; });
        if (found != kinds.end()) return &*found;
    }
    return nullptr;
}

template struct Site<float>;
template struct Site<double>;
template const Kind<float>* find_kind(std::string_view);
template const Kind<double>* find_kind(std::string_view);

}  // namespace pocketcnn::session
