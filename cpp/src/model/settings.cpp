#include "model/settings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "model/text.h"

namespace pocketcnn::model {
namespace {

/// Kernel sizes, strides and padding beyond this fit no memory; their products stay in 63 bits.
constexpr index_t kLargest = index_t{1} << 31;

[[noreturn]] void refuse(const std::string& name, const Json& value, const std::string& wanted) {
    throw std::invalid_argument(name + " is " + excerpt_of(value) + ", but must be " + wanted);
}

Pair two(const std::string& name, const Json& value, index_t least) {
    if (!value.is_array()) {
        const index_t both = whole(name, value, least);
        return {both, both};
    }
    if (value.size() != 2) refuse(name, value, "a whole number or two");
    return {whole(name, value[0], least), whole(name, value[1], least)};
}

bool is_nested(const Json& value) {
    return value.is_array() &&
           std::ranges::any_of(value, [](const Json& inner) { return inner.is_array(); });
}

}  // namespace

index_t whole(const std::string& name, const Json& value, index_t least) {
    if (value.is_number_integer()) {
        const bool fits = !value.is_number_unsigned() ||
                          value.get<std::uint64_t>() <= static_cast<std::uint64_t>(kLargest);
        const auto number = fits ? value.get<index_t>() : kLargest + 1;
        if (number >= least && number <= kLargest) return number;
    }
    refuse(name, value,
           "a whole number from " + std::to_string(least) + " to " + std::to_string(kLargest));
}

Settings::Settings(const Json& config) : config_(config) {
    if (!config.is_object()) throw std::invalid_argument("its settings are no names with values");
}

const Json* Settings::value(const char* name) {
    known_.insert(name);
    const auto found = config_.find(name);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
}

namespace {

/// What `read` makes of a value, or the default.
template <typename Value, typename Read>
Value read_or(const Json* value, const char* name, const std::optional<Value>& missing,
              Read&& read) {
    if (value != nullptr) return read(*value);
    if (!missing) throw std::invalid_argument("the setting " + std::string(name) + " is missing");
    return *missing;
}

}  // namespace

index_t Settings::integer(const char* name, index_t least, std::optional<index_t> missing) {
    return read_or(value(name), name, missing,
                   [&](const Json& value) { return whole(name, value, least); });
}

double Settings::finite(const char* name, std::optional<double> missing) {
    return read_or(value(name), name, missing, [&](const Json& value) {
        if (!value.is_number() || !std::isfinite(value.get<double>())) {
            refuse(name, value, "a finite number");
        }
        return value.get<double>();
    });
}

double Settings::number(const char* name, std::optional<double> missing) {
    return read_or(value(name), name, missing, [&](const Json& value) {
        const double number = value.is_number() ? value.get<double>() : -1;
        if (!(number >= 0) || !std::isfinite(number)) refuse(name, value, "a number from 0 on");
        return number;
    });
}

bool Settings::flag(const char* name, std::optional<bool> missing) {
    return read_or(value(name), name, missing, [&](const Json& value) {
        if (!value.is_boolean()) refuse(name, value, "true or false");
        return value.get<bool>();
    });
}

std::vector<double> Settings::numbers(const char* name, std::size_t count) {
    const Json* found = value(name);
    if (found == nullptr)
        throw std::invalid_argument("the setting " + std::string(name) + " is missing");
    std::vector<double> numbers;
    // A single number is a range of itself.
    for (const Json& one : *found) {
        if (one.is_number() && std::isfinite(one.get<double>()))
            numbers.push_back(one.get<double>());
    }
    const bool is_list = found->is_array() && numbers.size() == found->size();
    if (count > 0 && found->is_number() && numbers.size() == 1)
        numbers.resize(count, numbers[0]);
    else if (!is_list || numbers.empty() || (count > 0 && numbers.size() != count)) {
        refuse(name, *found, "finite numbers, as many as it takes");
    }
    return numbers;
}

std::vector<index_t> Settings::integers(const char* name, index_t least) {
    return read_or<std::vector<index_t>>(value(name), name, {}, [&](const Json& value) {
        if (!value.is_array()) refuse(name, value, "a list of whole numbers");
        std::vector<index_t> numbers;
        for (const Json& one : value) numbers.push_back(whole(name, one, least));
        return numbers;
    });
}

std::string Settings::text(const char* name, const char* missing) {
    const Json* found = value(name);
    if (found == nullptr) return missing;
    if (!found->is_string()) refuse(name, *found, "text");
    return found->get<std::string>();
}

Pair Settings::pair(const char* name, std::optional<Pair> missing, index_t least) {
    return read_or(value(name), name, missing,
                   [&](const Json& value) { return two(name, value, least); });
}

std::optional<Padding> Settings::padding(index_t least) {
    constexpr const char* name = "padding";
    const Json* found = value(name);
    if (found == nullptr || *found == "valid") return Padding{{0, 0}, {0, 0}};
    if (*found == "same") return {};
    if (found->is_string()) refuse(name, *found, "\"same\", \"valid\" or numbers");
    if (!is_nested(*found)) {
        const auto [vertical, horizontal] = two(name, *found, least);
        return Padding{{vertical, vertical}, {horizontal, horizontal}};
    }
    if (found->size() != 2) refuse(name, *found, "[[top, bottom], [left, right]]");
    const auto [top, bottom] = two(name, (*found)[0], least);
    const auto [left, right] = two(name, (*found)[1], least);
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
    for (const auto& [name, value] : config_.items()) {
        if (!known_.contains(name)) {
            throw std::invalid_argument("the setting " + in_quotes(name) +
                                        " is not one that this version knows");
        }
    }
}

}  // namespace pocketcnn::model
