// Foreign text and shapes in messages.
#pragma once

#include <pocketcnn/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace pocketcnn::session {

/// Sizes without the batch axis.
using Shape = std::vector<index_t>;

/// One line that may be shown: what is not printable ASCII is escaped, and of more than 200 bytes
/// the middle is left out.
std::string excerpt(std::string_view text);

/// An excerpt in quotes.
std::string in_quotes(std::string_view text);

/// As Python writes it.
std::string text_of(const Shape& shape);

}  // namespace pocketcnn::session
