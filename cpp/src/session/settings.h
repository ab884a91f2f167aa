// The settings of a layer, as its file has them: the arguments of its class in Python.
#pragma once

#include <pocketcnn/window2d.h>

#include <array>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "session/value.h"

namespace pocketcnn::session {

/// Vertical, horizontal.
using Pair = std::array<index_t, 2>;

/// Pixels at the two ends of an axis.
struct Sides {
    index_t before, after;
};
struct Padding {
    Sides vertical, horizontal;
};

/// A number from `least` to more than any image has; throws std::invalid_argument for what is none.
index_t whole(const std::string& name, const Value& value, index_t least);

/// The members of an object, each checked as Python checks it. One with a default may be
/// missing. Throws std::invalid_argument with the name, what came and what was wanted.
class Settings {
  public:
    explicit Settings(const Value& config);

    /// A whole number, from `least` to more than any image has.
    index_t integer(const char* name, index_t least, std::optional<index_t> missing = {});
    /// A finite number.
    double finite(const char* name, std::optional<double> missing = {});
    /// A finite number from 0 on.
    double number(const char* name, std::optional<double> missing = {});
    bool flag(const char* name, std::optional<bool> missing = {});
    /// As many finite numbers, or any number of them, but at least one. A single number, where
    /// `count` is given, means as many equal ones.
    std::vector<double> numbers(const char* name, std::size_t count = 0);
    /// Any number of whole numbers, from `least` on.
    std::vector<index_t> integers(const char* name, index_t least);
    std::string text(const char* name, const char* missing);
    /// A whole number, or two.
    Pair pair(const char* name, std::optional<Pair> missing = {}, index_t least = 1);
    /// None for "same", which depends on the image.
    std::optional<Padding> padding(index_t least = 0);
    /// The window of a convolution or a pooling over an image of this size. Where `step_by_kernel`
    /// is set, no stride means that of the kernel.
    Window2d window(index_t height, index_t width, bool step_by_kernel);
    /// The value itself; null where it is missing or null.
    const Value* value(const char* name);
    /// For settings that inference has no use for.
    void pass_over(const char* name) { known_.insert(name); }

    /// Throws for a setting that nobody asked for: a newer Python may compute something else by it.
    void require_no_others() const;

  private:
    const Members& config_;
    std::set<std::string> known_;
};

}  // namespace pocketcnn::session
