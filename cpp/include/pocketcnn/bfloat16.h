// To and from numbers of 16 bits, in which weights are stored. Nothing is computed in them.
#pragma once

#include <pocketcnn/types.h>

#include <bit>
#include <cstdint>

namespace pocketcnn {

inline float widened(BFloat16 x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

/// The nearest; of two that are as near, the one whose last bit is zero. NaN stays NaN.
inline BFloat16 narrowed(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    constexpr std::uint32_t infinity = 0x7f80'0000, quiet = 0x40;
    if ((bits & ~(std::uint32_t{1} << 31)) > infinity) {
        return {static_cast<std::uint16_t>((bits >> 16) | quiet)};
    }
    return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace pocketcnn
