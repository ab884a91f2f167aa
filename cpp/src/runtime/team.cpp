#include "runtime/team.h"

#include <pocketcnn/runtime.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace pocketcnn {
namespace {

/// The default if the build has it; docs/decisions/threads.md says why.
constexpr std::string_view kDefaultTeam = "own";

constexpr const Team* kTeams[] = {
#if defined(POCKETCNN_HAS_OPENMP)
    &openmp_team,
#endif
    &own_team,
};

const Team* find(std::string_view name) {
    for (const Team* team : kTeams) {
        if (team->name == name) return team;
    }
    return nullptr;
}

const Team& required(std::string_view name, const char* source) {
    if (const Team* team = find(name)) return *team;
    std::string names;
    for (const Team* team : kTeams) names += (names.empty() ? "" : ", ") + std::string(team->name);
    throw std::invalid_argument(std::string(source) + " is '" + std::string(name) +
                                "', but this build has: " + names);
}

const Team& choose() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, while the library loads
    const char* forced = std::getenv("POCKETCNN_TEAM");
    if (forced != nullptr && *forced != '\0') return required(forced, "POCKETCNN_TEAM");
    const Team* team = find(kDefaultTeam);
    return team != nullptr ? *team : own_team;
}

std::atomic<const Team*>& active() {
    static std::atomic<const Team*> team{&choose()};
    return team;
}

}  // namespace

const Team& active_team() {
    return *active().load();
}

std::string_view team() {
    return active_team().name;
}

std::vector<std::string_view> available_teams() {
    std::vector<std::string_view> names;
    for (const Team* team : kTeams) names.emplace_back(team->name);
    return names;
}

void use_team(std::string_view name) {
    active() = &required(name, "team");
}

}  // namespace pocketcnn
