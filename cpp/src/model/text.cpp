#include "model/text.h"

#include <array>
#include <cstdio>

namespace pocketcnn::model {

std::string excerpt(std::string_view text) {
    constexpr std::size_t most = 200, tail = 60;
    if (text.size() > most) {
        return excerpt(text.substr(0, most - tail)) + " ... " +
               excerpt(text.substr(text.size() - tail));
    }
    std::string shown;
    for (const char c : text) {
        if (c >= ' ' && c <= '~') {
            shown += c;
            continue;
        }
        std::array<char, 5> escape{};
        std::snprintf(escape.data(), escape.size(), "\\x%02x", static_cast<unsigned char>(c));
        shown += escape.data();
    }
    return shown;
}

std::string in_quotes(std::string_view text) {
    return std::string("'") + excerpt(text) + "'";
}

std::string text_of(const Shape& shape) {
    std::string text = "(";
    for (const index_t size : shape) {
        if (text.size() > 1) text += ", ";
        text += std::to_string(size);
    }
    return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace pocketcnn::model
