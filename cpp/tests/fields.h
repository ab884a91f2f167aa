// Each field of a window or a convolution at other values than a case has, one field at a time: an
// operation that ignores a field on one axis then differs from the reference.
#pragma once

#include <pocketcnn/conv2d.h>

#include <string>

namespace pocketcnn::tests {

struct WindowField {
    const char* name;
    index_t Window2d::* member;
};

inline constexpr WindowField kWindowFields[] = {
    {"kernel_h", &Window2d::kernel_h},     {"kernel_w", &Window2d::kernel_w},
    {"stride_h", &Window2d::stride_h},     {"stride_w", &Window2d::stride_w},
    {"pad_top", &Window2d::pad_top},       {"pad_bottom", &Window2d::pad_bottom},
    {"pad_left", &Window2d::pad_left},     {"pad_right", &Window2d::pad_right},
    {"dilation_h", &Window2d::dilation_h}, {"dilation_w", &Window2d::dilation_w},
};

/// Calls body(name, window) for the window as it is and with each field one and two larger.
template <typename Body>
void for_every_field(const Window2d& window, Body&& body) {
    body("as given", window);
    for (const WindowField& field : kWindowFields) {
        for (const index_t more : {1, 2}) {
            Window2d changed = window;
            changed.*field.member += more;
            body(std::string(field.name) + " + " + std::to_string(more), changed);
        }
    }
}

/// The same for the window of a convolution, and for its groups. Channels and filters are even, or
/// equal the groups.
template <typename Body>
void for_every_field(const Conv2d& conv, Body&& body) {
    for_every_field(conv.window, [&](const std::string& name, const Window2d& window) {
        Conv2d changed = conv;
        changed.window = window;
        body(name, changed);
    });
    Conv2d changed = conv;
    changed.groups = conv.groups == 1 ? 2 : conv.groups / 2;
    body("other groups", changed);
}

}  // namespace pocketcnn::tests
