// Tests that change the team or the number of threads.
#pragma once

#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pocketcnn::tests {

inline std::vector<std::string> team_names() {
    std::vector<std::string> names;
    for (const std::string_view name : available_teams()) names.emplace_back(name);
    return names;
}

/// Teams that a test of this process has used.
inline std::set<std::string>& teams_that_ran() {
    static std::set<std::string> names;
    return names;
}

/// Restores the team and the number of threads at its end.
class KeepThreads {
  public:
    KeepThreads() = default;
    KeepThreads(const KeepThreads&) = delete;
    KeepThreads& operator=(const KeepThreads&) = delete;
    ~KeepThreads() {
        use_team(team_);
        set_num_threads(threads_);
    }

  private:
    std::string_view team_ = team();
    int threads_ = get_num_threads();
};

struct Crew {
    std::string team;
    int threads;
};

/// Each of the numbers of threads, with every team if there is more than one thread.
inline std::vector<Crew> crews(std::initializer_list<int> numbers) {
    std::vector<Crew> all;
    for (const int threads : numbers) {
        for (const std::string& team : team_names()) {
            if (threads > 1 || all.empty()) all.push_back({team, threads});
        }
    }
    return all;
}

inline void use(std::string_view team, int threads) {
    use_team(team);
    set_num_threads(threads);
    teams_that_ran().emplace(team);
}

class ThreadTest : public ::testing::Test {
    KeepThreads keep_;
};

/// A test whose parameter is the name of a team.
class TeamTest : public ::testing::TestWithParam<std::string> {
  protected:
    TeamTest() { use(GetParam(), get_num_threads()); }

  private:
    KeepThreads keep_;
};

inline std::string team_test_name(const ::testing::TestParamInfo<std::string>& info) {
    return info.param;
}

}  // namespace pocketcnn::tests

/// Registers a TeamTest suite for every team of this build.
#define POCKETCNN_FOR_EVERY_TEAM(suite)                                                          \
    INSTANTIATE_TEST_SUITE_P(Team, suite, ::testing::ValuesIn(::pocketcnn::tests::team_names()), \
                             ::pocketcnn::tests::team_test_name)
