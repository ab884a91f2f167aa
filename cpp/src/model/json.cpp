#include "model/json.h"

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "session/text.h"

namespace pocketcnn::model {
namespace {

using Json = nlohmann::json;
using session::List, session::Members, session::Value;

/// A Residual within a Residual is four levels deeper.
constexpr int kDeepest = 256;

/// What the parser reports on its way.
class Watch {
  public:
    bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
        if (depth > kDeepest) throw std::invalid_argument("its JSON has too many levels");
        switch (event) {
            case Json::parse_event_t::object_start:
                names_.emplace_back();
                break;
            case Json::parse_event_t::object_end:
                names_.pop_back();
                break;
            case Json::parse_event_t::key:
                if (!names_.back().insert(parsed.get_ref<const std::string&>()).second) {
                    throw std::invalid_argument("a name occurs twice in its JSON");
                }
                break;
            default:
                break;
        }
        return true;
    }

  private:
    std::vector<std::set<std::string>> names_;  // of the objects that are open
};

Value value_of(const Json& json) {
    switch (json.type()) {
        case Json::value_t::boolean:
            return {json.get<bool>()};
        case Json::value_t::number_integer:
            return {json.get<std::int64_t>()};
        case Json::value_t::number_unsigned: {
            const auto number = json.get<std::uint64_t>();
            constexpr auto most = std::numeric_limits<std::int64_t>::max();
            if (number > static_cast<std::uint64_t>(most)) return {static_cast<double>(number)};
            return {static_cast<std::int64_t>(number)};
        }
        case Json::value_t::number_float:
            return {json.get<double>()};
        case Json::value_t::string:
            return {json.get<std::string>()};
        case Json::value_t::array: {
            List list;
            for (const Json& element : json) list.push_back(value_of(element));
            return {std::move(list)};
        }
        case Json::value_t::object: {
            Members members;
            for (const auto& [name, element] : json.items()) members[name] = value_of(element);
            return {std::move(members)};
        }
        default:
            return {};
    }
}

}  // namespace

session::Value parse_json(std::string_view text) {
    Watch watch;
    try {
        return value_of(
            Json::parse(text, [&](int depth, Json::parse_event_t event, const Json& parsed) {
                return watch(depth, event, parsed);
            }));
    } catch (const Json::parse_error& error) {
        const std::string_view what = error.what();
        const std::size_t end_of_number = what.find("] ");
        throw std::invalid_argument(
            "it is not JSON: " +
            std::string(what.substr(end_of_number == what.npos ? 0 : end_of_number + 2)));
    }
}

}  // namespace pocketcnn::model
