// The index type and the shapes that all operations use.
#pragma once

#include <cstdint>

namespace pocketcnn {

/// Every size and offset. Signed and 64 bits wide, so that large batches do not overflow.
using index_t = std::int64_t;

/// Shape of a batch of images or feature maps: (n, c, h, w), row-major, w innermost.
struct Shape4 {
    index_t n = 0;
    index_t c = 0;
    index_t h = 0;
    index_t w = 0;

    constexpr index_t plane() const { return h * w; }
    constexpr index_t image() const { return c * h * w; }
    constexpr index_t size() const { return n * c * h * w; }
    friend constexpr bool operator==(const Shape4&, const Shape4&) = default;
};

/// Contiguous (n, c, h, w) data, not owned.
template <typename T>
struct ImageView {
    T* data = nullptr;
    Shape4 shape;
};

/// The upper half of a float, to store it in half of the memory: its range, and 8 bits of
/// precision. See bfloat16.h.
struct BFloat16 {
    std::uint16_t bits;
};

/// Contiguous row-major matrix, not owned.
template <typename T>
struct MatrixView {
    T* data = nullptr;
    index_t rows = 0;
    index_t cols = 0;
};

constexpr index_t ceil_div(index_t a, index_t b) {
    return (a + b - 1) / b;
}
constexpr index_t round_up(index_t a, index_t b) {
    return ceil_div(a, b) * b;
}

}  // namespace pocketcnn
