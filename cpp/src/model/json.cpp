#include "model/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/text.h"

namespace pocketcnn::model {
namespace {

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

}  // namespace

Json parse_json(std::string_view text) {
    Watch watch;
    try {
        return Json::parse(text, [&](int depth, Json::parse_event_t event, Json& parsed) {
            return watch(depth, event, parsed);
        });
    } catch (const Json::parse_error& error) {
        const std::string_view what = error.what();
        const std::size_t end_of_number = what.find("] ");
        throw std::invalid_argument(
            "it is not JSON: " +
            std::string(what.substr(end_of_number == what.npos ? 0 : end_of_number + 2)));
    }
}

std::string excerpt_of(const Json& value) {
    return excerpt(value.dump());
}

const Json& member(const Json& of, const char* name) {
    if (!of.is_object() || !of.contains(name)) {
        throw std::invalid_argument("the architecture lacks '" + std::string(name) + "'");
    }
    return of.at(name);
}

const std::string& text_member(const Json& of, const char* name) {
    const Json& value = member(of, name);
    if (!value.is_string()) {
        throw std::invalid_argument("'" + std::string(name) + "' is " + excerpt_of(value) +
                                    ", but must be text");
    }
    return value.get_ref<const std::string&>();
}

}  // namespace pocketcnn::model
