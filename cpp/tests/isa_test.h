// Tests that run once per instruction set.
#pragma once

#include <gtest/gtest.h>
#include <pocketcnn/runtime.h>

#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace pocketcnn::tests {

inline std::vector<std::string> isa_names() {
    std::vector<std::string> names;
    for (const std::string_view name : available_isas()) names.emplace_back(name);
    return names;
}

/// Instruction sets that a test of this process has used.
inline std::set<std::string>& isas_that_ran() {
    static std::set<std::string> names;
    return names;
}

/// Switches to another instruction set while this object lives.
class UseIsa {
  public:
    explicit UseIsa(const std::string& name) : before_(isa()) {
        use_isa(name);
        isas_that_ran().insert(name);
    }
    UseIsa(const UseIsa&) = delete;
    UseIsa& operator=(const UseIsa&) = delete;
    ~UseIsa() { use_isa(before_); }

  private:
    std::string_view before_;
};

/// Runs the body once per instruction set, for operations that hardly depend on it.
template <typename Body>
void for_every_isa(Body&& body) {
    for (const std::string& name : isa_names()) {
        SCOPED_TRACE(name);
        const UseIsa use(name);
        body();
    }
}

/// A test whose parameter is the name of an instruction set.
class IsaTest : public ::testing::TestWithParam<std::string> {
  private:
    UseIsa use_{GetParam()};
};

inline std::string isa_test_name(const ::testing::TestParamInfo<std::string>& info) {
    return info.param;
}

/// A test whose parameter is a case, which has a member `name`.
template <typename Case>
class CaseTest : public ::testing::TestWithParam<Case> {
  protected:
    const Case& test_case() const { return this->GetParam(); }
};

template <typename Case>
std::string case_name(const ::testing::TestParamInfo<Case>& info) {
    return info.param.name;
}

/// A test whose parameters are an instruction set and a case, which has a member `name`.
template <typename Case>
class IsaCaseTest : public ::testing::TestWithParam<std::tuple<std::string, Case>> {
  protected:
    const Case& test_case() const { return std::get<1>(this->GetParam()); }

  private:
    UseIsa use_{std::get<0>(this->GetParam())};
};

template <typename Case>
std::string isa_case_name(const ::testing::TestParamInfo<std::tuple<std::string, Case>>& info) {
    return std::get<0>(info.param) + "_" + std::get<1>(info.param).name;
}

}  // namespace pocketcnn::tests

/// Registers an IsaTest suite for every instruction set of this machine.
#define POCKETCNN_FOR_EVERY_ISA(suite)                                                         \
    INSTANTIATE_TEST_SUITE_P(Isa, suite, ::testing::ValuesIn(::pocketcnn::tests::isa_names()), \
                             ::pocketcnn::tests::isa_test_name)

/// Registers a CaseTest suite for every case of the table.
#define POCKETCNN_FOR_EVERY_CASE(suite, Case, cases)                  \
    INSTANTIATE_TEST_SUITE_P(Case, suite, ::testing::ValuesIn(cases), \
                             ::pocketcnn::tests::case_name<Case>)

/// Registers an IsaCaseTest suite for every instruction set and every case of the table.
#define POCKETCNN_FOR_EVERY_ISA_AND_CASE(suite, Case, cases)                     \
    INSTANTIATE_TEST_SUITE_P(                                                    \
        Isa, suite,                                                              \
        ::testing::Combine(::testing::ValuesIn(::pocketcnn::tests::isa_names()), \
                           ::testing::ValuesIn(cases)),                          \
        ::pocketcnn::tests::isa_case_name<Case>)
