// JSON of foreign files.
#pragma once

#include <string_view>

#include "session/value.h"

namespace pocketcnn::model {

/// Throws std::invalid_argument where the text is not JSON, has a name twice in an object, or more
/// than 256 levels.
session::Value parse_json(std::string_view text);

}  // namespace pocketcnn::model
