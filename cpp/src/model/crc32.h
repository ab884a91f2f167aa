// The checksum of model files: CRC-32 as zlib, gzip and PNG have it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pocketcnn::model {

/// Of more bytes, after those whose checksum is `crc`; 0 at the beginning.
std::uint32_t crc32(const void* bytes, std::size_t size, std::uint32_t crc = 0);

}  // namespace pocketcnn::model
