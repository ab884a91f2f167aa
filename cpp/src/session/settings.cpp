#include "session/settings.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "session/text.h"

namespace pocketcnn::session {
namespace {

/// Kernel sizes, strides and padding beyond this fit no memory; their products stay in 63 bits.
constexpr index_t kLargest = index_t{1} << 31;

[[noreturn]] void refuse(const std::string& name, const Value& value, const std::string& wanted) {
    throw std::invalid_argument(name + " is " + excerpt_of(value) + ", but must be " + wanted);
}

Pair two(const std::string& name, const Value& value, index_t least) {
    const List* list = value.as<List>();
    if (list == nullptr) {
        const index_t both = whole(name, value, least);
        return {both, both};
    }
    if (list->size() != 2) refuse(name, value, "a whole number or two");
    return {whole(name, (*list)[0], least), whole(name, (*list)[1], least)};
}

/// The lists of a list that has some; else null.
const List* nested(const Value& value) {
    const List* list = value.as<List>();
    const auto is_list = [](const Value& inner) { return inner.as<List>() != nullptr; };
    return list != nullptr && std::any_of(list->begin(), list->end(), is_list) ? list : nullptr;
}

/// A finite number, whole or not.
std::optional<double> finite_number(const Value& value) {
    if (const auto* whole = value.as<std::int64_t>()) return static_cast<double>(*whole);
    const auto* number = value.as<double>();
    return number != nullptr && std::isfinite(*number) ? std::optional(*number) : std::nullopt;
}

}  // namespace

index_t whole(const std::string& name, const Value& value, index_t least) {
    const auto* number = value.as<std::int64_t>();
    if (number != nullptr && *number >= least && *number <= kLargest) return *number;
    refuse(name, value,
           "a whole number from " + std::to_string(least) + " to " + std::to_string(kLargest));
}

namespace {

const Members& members_of(const Value& config) {
    if (const auto* members = config.as<Members>()) return *members;
    throw std::invalid_argument("its settings are no names with values");
}

}  // namespace

Settings::Settings(const Value& config) : config_(members_of(config)) {}

const Value* Settings::value(const char* name) {
    known_.insert(name);
    const auto found = config_.find(name);
    return found == config_.end() || found->second.is_null() ? nullptr : &found->second;
}

namespace {

/// What `read` makes of a value, or the default.
template <typename Kind, typename Read>
Kind read_or(const Value* value, const char* name, const std::optional<Kind>& missing,
             Read&& read) {
    if (value != nullptr) return read(*value);
    if (!missing) throw std::invalid_argument("the setting " + std::string(name) + " is missing");
    return *missing;
}

}  // namespace

index_t Settings::integer(const char* name, index_t least, std::optional<index_t> missing) {
    return read_or(value(name), name, missing,
                   [&](const Value& value) { return whole(name, value, least); });
}

double Settings::finite(const char* name, std::optional<double> missing) {
    return read_or(value(name), name, missing, [&](const Value& value) {
        const std::optional<double> number = finite_number(value);
        if (!number) refuse(name, value, "a finite number");
        return *number;
    });
}

double Settings::number(const char* name, std::optional<double> missing) {
    return read_or(value(name), name, missing, [&](const Value& value) {
        const double number = finite_number(value).value_or(-1);
        if (number < 0) refuse(name, value, "a number from 0 on");
        return number;
    });
}

bool Settings::flag(const char* name, std::optional<bool> missing) {
    return read_or(value(name), name, missing, [&](const Value& value) {
        const bool* flag = value.as<bool>();
        if (flag == nullptr) refuse(name, value, "true or false");
        return *flag;
    });
}

std::vector<double> Settings::numbers(const char* name, std::size_t count) {
    const Value* found = value(name);
    if (found == nullptr)
        throw std::invalid_argument("the setting " + std::string(name) + " is missing");
    std::vector<double> numbers;
    if (const std::optional<double> single = finite_number(*found); single && count > 0) {
        numbers.resize(count, *single);
    } else if (const List* list = found->as<List>()) {
        for (const Value& one : *list) {
            if (const std::optional<double> number = finite_number(one)) numbers.push_back(*number);
        }
        if (numbers.size() != list->size()) numbers.clear();
    }
    if (numbers.empty() || (count > 0 && numbers.size() != count)) {
        refuse(name, *found, "finite numbers, as many as it takes");
    }
    return numbers;
}

std::vector<index_t> Settings::integers(const char* name, index_t least) {
    return read_or<std::vector<index_t>>(value(name), name, {}, [&](const Value& value) {
        const List* list = value.as<List>();
        if (list == nullptr) refuse(name, value, "a list of whole numbers");
        std::vector<index_t> numbers;
        for (const Value& one : *list) numbers.push_back(whole(name, one, least));
        return numbers;
    });
}

std::string Settings::text(const char* name, const char* missing) {
    const Value* found = value(name);
    if (found == nullptr) return missing;
    const auto* text = found->as<std::string>();
    if (text == nullptr) refuse(name, *found, "text");
    return *text;
}

Pair Settings::pair(const char* name, std::optional<Pair> missing, index_t least) {
    return read_or(value(name), name, missing,
                   [&](const Value& value) { return two(name, value, least); });
}

std::optional<Padding> Settings::padding(index_t least) {
    constexpr const char* name = "padding";
    const Value* found = value(name);
    if (found == nullptr) return Padding{{0, 0}, {0, 0}};
    if (const auto* word = found->as<std::string>()) {
        if (*word == "valid") return Padding{{0, 0}, {0, 0}};
        if (*word == "same") return {};
        refuse(name, *found, "\"same\", \"valid\" or numbers");
    }
    const List* axes = nested(*found);
    if (axes == nullptr) {
        const auto [vertical, horizontal] = two(name, *found, least);
        return Padding{{vertical, vertical}, {horizontal, horizontal}};
    }
    if (axes->size() != 2) refuse(name, *found, "[[top, bottom], [left, right]]");
    const auto [top, bottom] = two(name, (*axes)[0], least);
    const auto [left, right] = two(name, (*axes)[1], least);
    return Padding{{top, bottom}, {left, right}};
}

Window2d Settings::window(index_t height, index_t width, bool step_by_kernel) {
    const Pair kernel = pair("kernel_size");
    const Pair stride = pair("stride", step_by_kernel ? kernel : Pair{1, 1});
    const Pair dilation = step_by_kernel ? Pair{1, 1} : pair("dilation", Pair{1, 1});
    // As many outputs as steps through the image; an odd pixel goes to the end.
    const auto same = [&](std::size_t axis, index_t size) -> Sides {
        const index_t span = dilation[axis] * (kernel[axis] - 1) + 1;
        const index_t last = (ceil_div(size, stride[axis]) - 1) * stride[axis];
        const index_t total = std::max<index_t>(0, last + span - size);
        return {total / 2, total - total / 2};
    };
    const auto [vertical, horizontal] =
        padding().value_or(Padding{same(0, height), same(1, width)});
    return {kernel[0],      kernel[1],         stride[0],        stride[1],   vertical.before,
            vertical.after, horizontal.before, horizontal.after, dilation[0], dilation[1]};
}

void Settings::require_no_others() const {
    for (const auto& [name, value] : config_) {
        if (!known_.contains(name)) {
            throw std::invalid_argument("the setting " + in_quotes(name) +
                                        " is not one that this version knows");
        }
    }
}

}  // namespace pocketcnn::session
