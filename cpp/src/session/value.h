// Values of the kinds that JSON has: what an architecture and the settings of layers consist of,
// wherever they come from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace pocketcnn::session {

struct Value;
using List = std::vector<Value>;
using Members = std::map<std::string, Value, std::less<>>;

struct Value {
    std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Members> held;

    bool is_null() const { return held.index() == 0; }
    /// What it holds, if it is of that kind; else null.
    template <typename Kind>
    const Kind* as() const {
        return std::get_if<Kind>(&held);
    }
};

/// An excerpt of the value as JSON.
std::string excerpt_of(const Value& value);

/// The member of an object; throws std::invalid_argument where it is not there, or `of` no object.
const Value& member(const Value& of, const char* name);

/// The same as text; throws std::invalid_argument where it is none.
const std::string& text_member(const Value& of, const char* name);

}  // namespace pocketcnn::session
