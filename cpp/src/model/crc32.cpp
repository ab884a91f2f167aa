#include "model/crc32.h"

#include <array>

namespace pocketcnn::model {
namespace {

constexpr std::size_t kStep = 8;
using Tables = std::array<std::array<std::uint32_t, 256>, kStep>;

/// tables[k][byte] is what the byte adds to the checksum when k more bytes have followed it.
constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? 0xEDB88320U : 0U);
        tables[0][byte] = rest;
    }
    for (std::size_t k = 1; k < kStep; ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][before & 0xFF];
        }
    }
    return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

std::uint32_t crc32(const void* bytes, std::size_t size, std::uint32_t crc) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    crc = ~crc;
    // Eight bytes at a time, which do not wait for each other: Kounavis, Berry, "Novel Table
    // Lookup-Based Algorithms for High-Performance CRC Generation", IEEE ToC 2008.
    for (; size >= kStep; size -= kStep, at += kStep) {
        std::uint32_t next = 0;
        for (std::size_t i = 0; i < kStep; ++i) {
            const std::uint32_t byte = at[i] ^ (i < 4 ? (crc >> (8 * i)) & 0xFF : 0);
            next ^= kTables[kStep - 1 - i][byte];
        }
        crc = next;
    }
    for (; size > 0; --size, ++at) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xFF];
    return ~crc;
}

}  // namespace pocketcnn::model
