#include "session/value.h"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "session/text.h"

namespace pocketcnn::session {
namespace {

/// Appends numbers and names as JSON has them; what is not printable is for `excerpt` to escape.
struct Writer {
    std::string& text;

    void operator()(std::monostate /*null*/) const { text += "null"; }
    void operator()(bool flag) const { text += flag ? "true" : "false"; }
    void operator()(std::int64_t number) const { text += std::to_string(number); }
    void operator()(double number) const {
        // As few digits as tell it from its neighbours. Older standard libraries have no to_chars
        // of such numbers.
        char written[32];
        for (int digits = 15; digits <= 17; ++digits) {
            std::snprintf(written, sizeof(written), "%.*g", digits, number);
            if (std::strtod(written, nullptr) == number) break;
        }
        const std::string_view shown = written;
        text += shown;
        if (shown.find_first_not_of("-0123456789") == shown.npos) text += ".0";
    }
    void operator()(const std::string& inner) const {
        text.push_back('"');
        for (const char c : inner) {
            if (c == '"' || c == '\\') text.push_back('\\');
            text.push_back(c);
        }
        text.push_back('"');
    }
    void operator()(const List& list) const {
        text.push_back('[');
        const char* between = "";
        for (const Value& value : list) {
            text += std::exchange(between, ",");
            std::visit(*this, value.held);
        }
        text.push_back(']');
    }
    void operator()(const Members& members) const {
        text.push_back('{');
        const char* between = "";
        for (const auto& [name, value] : members) {
            text += std::exchange(between, ",");
            (*this)(name);
            text.push_back(':');
            std::visit(*this, value.held);
        }
        text.push_back('}');
    }
};

}  // namespace

std::string excerpt_of(const Value& value) {
    std::string text;
    std::visit(Writer{text}, value.held);
    return excerpt(text);
}

const Value& member(const Value& of, const char* name) {
    if (const auto* members = of.as<Members>()) {
        if (const auto found = members->find(name); found != members->end()) return found->second;
    }
    throw std::invalid_argument("the architecture lacks '" + std::string(name) + "'");
}

const std::string& text_member(const Value& of, const char* name) {
    const Value& value = member(of, name);
    if (const auto* text = value.as<std::string>()) return *text;
    throw std::invalid_argument("'" + std::string(name) + "' is " + excerpt_of(value) +
                                ", but must be text");
}

}  // namespace pocketcnn::session
