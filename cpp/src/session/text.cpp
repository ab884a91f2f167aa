#include "session/text.h"

namespace pocketcnn::session {
namespace {

std::string escaped(std::string_view text) {
    constexpr char digits[] = "0123456789abcdef";
    std::string shown;
    for (const char c : text) {
        if (c >= ' ' && c <= '~') {
            shown.push_back(c);
        } else {
            const auto byte = static_cast<unsigned char>(c);
            shown.append({'\\', 'x', digits[byte >> 4], digits[byte & 15]});
        }
    }
    return shown;
}

}  // namespace

std::string excerpt(std::string_view text) {
    constexpr std::size_t most = 200, tail = 60;
    if (text.size() <= most) return escaped(text);
    std::string shown = escaped(text.substr(0, most - tail));
    shown.append(" ... ");
    return shown.append(escaped(text.substr(text.size() - tail)));
}

std::string in_quotes(std::string_view text) {
    std::string quoted(1, '\'');
    quoted.append(excerpt(text));
    quoted.push_back('\'');
    return quoted;
}

std::string text_of(const Shape& shape) {
    std::string text(1, '(');
    for (const index_t size : shape) {
        if (text.size() > 1) text.append(", ");
        text.append(std::to_string(size));
    }
    return text.append(shape.size() == 1 ? ",)" : ")");
}

}  // namespace pocketcnn::session
