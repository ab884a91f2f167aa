// To and from numbers of 16 bits, in which weights are stored. Nothing is computed in them.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>
#include <cstring>

namespace pocketcnn {

inline float widened(BFloat16 x) {
    const std::uint32_t bits = std::uint32_t{x.bits} << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

/// The nearest; of two that are as near, the one whose last bit is zero. NaN stays NaN.
inline BFloat16 narrowed(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    constexpr std::uint32_t infinity = 0x7f80'0000, quiet = 0x40;
    if ((bits & ~(std::uint32_t{1} << 31)) > infinity) {
        return {static_cast<std::uint16_t>((bits >> 16) | quiet)};
    }
    return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace pocketcnn
