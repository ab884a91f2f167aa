#include <cstdio>

#include "runtime/memory_pool.h"

namespace pocketcnn {

OutOfMemory::OutOfMemory(std::size_t bytes) noexcept {
    std::snprintf(text_, sizeof(text_), "a workspace of %zu bytes is more than there is", bytes);
}

}  // namespace pocketcnn
