// JSON of foreign files. Sources that look into it include <nlohmann/json.hpp>, which takes the
// compiler some seconds.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace pocketcnn::model {

using Json = nlohmann::json;

/// Throws std::invalid_argument where the text is not JSON, has a name twice in an object, or more
/// than 256 levels.
Json parse_json(std::string_view text);

/// An excerpt of the value as JSON.
std::string excerpt_of(const Json& value);

/// The member of an object; throws std::invalid_argument where it is not there, or `of` no object.
const Json& member(const Json& of, const char* name);

/// The same as text; throws std::invalid_argument where it is none.
const std::string& text_member(const Json& of, const char* name);

}  // namespace pocketcnn::model
