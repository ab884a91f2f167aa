#include <pocketcnn/window2d.h>

#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>

namespace pocketcnn {
namespace {

struct WindowAxis {
    const char* name;
    index_t size, kernel, stride, pad_before, pad_after, dilation;
    bool ceil_mode;
};

/// Keeps every sum and product of a valid window far from overflow.
constexpr index_t kLargest = index_t{1} << 40;

void check(const WindowAxis& axis) {
    const auto fail = [&](const std::string& what) {
        throw std::invalid_argument(std::string(axis.name) + ": " + what);
    };
    if (axis.kernel < 1 || axis.kernel > kLargest) {
        fail("kernel_size must be at least 1, got " + std::to_string(axis.kernel));
    }
    if (axis.stride < 1 || axis.stride > kLargest) {
        fail("stride must be at least 1, got " + std::to_string(axis.stride));
    }
    if (axis.dilation < 1 || axis.dilation > kLargest) {
        fail("dilation must be at least 1, got " + std::to_string(axis.dilation));
    }
    for (const index_t pad : {axis.pad_before, axis.pad_after}) {
        if (pad < 0 || pad > kLargest) {
            fail("padding must not be negative, got " + std::to_string(pad));
        }
    }
    if (axis.size > kLargest) fail("the image has " + std::to_string(axis.size) + " pixels");
    const index_t padded = axis.size + axis.pad_before + axis.pad_after;
    if (axis.kernel > 1 && axis.dilation > (kLargest - 1) / (axis.kernel - 1)) {
        fail("the dilated kernel is too large");
    }
    const index_t span = axis.dilation * (axis.kernel - 1) + 1;
    // In ceil mode the only window may reach past the end, by less than a step.
    const index_t room = axis.ceil_mode ? padded + axis.stride - 1 : padded;
    if (axis.size < 1 || span > room) {
        fail("kernel_size " + std::to_string(axis.kernel) + " with dilation " +
             std::to_string(axis.dilation) + " spans " + std::to_string(span) +
             ", but the padded input has " + std::to_string(padded));
    }
}

}  // namespace

void validate(const Window2d& w, index_t height, index_t width, bool ceil_mode) {
    check({"height", height, w.kernel_h, w.stride_h, w.pad_top, w.pad_bottom, w.dilation_h,
           ceil_mode});
    check(
        {"width", width, w.kernel_w, w.stride_w, w.pad_left, w.pad_right, w.dilation_w, ceil_mode});
    if (w.kernel_h > kLargest / w.kernel_w) {
        throw std::invalid_argument("kernel_size has more taps than any memory holds");
    }
}

void validate(const Shape4& shape, const char* what) {
    // Bytes of a double array, and some room for padding, stay within 63 bits.
    constexpr index_t most = std::numeric_limits<index_t>::max() / 64;
    index_t size = 1;
    for (const index_t extent : {shape.n, shape.c, shape.h, shape.w}) {
        if (extent < 0) {
            throw std::invalid_argument(std::string(what) + " has a negative size");
        }
        if (extent > 0 && size > most / extent) {
            throw std::invalid_argument(std::string(what) + " has more elements than fit 63 bits");
        }
        size *= extent > 0 ? extent : 1;
    }
}

}  // namespace pocketcnn
