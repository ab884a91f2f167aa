// The memory pool as a detector of errors, for a build with POCKETCNN_GUARD_PAGES: every block is a
// mapping of its own, and the page after its last byte is not accessible. Reading or writing one
// byte too many ends the process at once. So does using a released block, whose pages stay
// inaccessible until many others have been released. A new block is full of bytes 0xFF: NaN, or -1.
//
// A block ends where its last page ends, so it begins at a multiple of an element's size, not of
// kAlignment. Nothing is kept for the next step.
#include <pocketcnn/runtime.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "runtime/memory_pool.h"
#include "runtime/system/system.h"

namespace pocketcnn {
namespace {

constexpr int kFill = 0xFF;
/// Released blocks that stay inaccessible. A process may have some 65,000 mappings.
constexpr std::size_t kQuarantine = 8192;

struct Mapping {
    void* begin;
    std::size_t size;   ///< with the inaccessible pages at both ends
    std::size_t bytes;  ///< of the block
};

class GuardedPool {
  public:
    void* allocate(std::size_t bytes);
    void release(void* block) noexcept;
    MemoryUse use();

    std::mutex mutex;

  private:
    std::unordered_map<void*, Mapping> blocks_;
    std::deque<Mapping> quarantine_;
    std::size_t in_use_ = 0;
};

std::size_t page_size() {
    static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return size;
}

[[noreturn]] void end_process(const char* reason) {
    std::fprintf(stderr, "pocketcnn: %s\n", reason);
    std::abort();
}

void* GuardedPool::allocate(std::size_t bytes) {
    const std::size_t page = page_size(), room = (bytes + page - 1) / page * page;
    void* const begin =
        mmap(nullptr, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) throw OutOfMemory(bytes);
    char* const inside = static_cast<char*>(begin) + page;
    if (room > 0 && mprotect(inside, room, PROT_READ | PROT_WRITE) != 0) {
        munmap(begin, room + 2 * page);
        throw OutOfMemory(bytes);
    }
    std::memset(inside, kFill, room);
    void* const block = inside + room - bytes;
    const std::lock_guard lock(mutex);
    blocks_.emplace(block, Mapping{begin, room + 2 * page, bytes});
    in_use_ += bytes;
    return block;
}

void GuardedPool::release(void* block) noexcept {
    const std::lock_guard lock(mutex);
    const auto found = blocks_.find(block);
    if (found == blocks_.end()) end_process("a block was given back twice, or never was one");
    const Mapping mapping = found->second;
    blocks_.erase(found);
    in_use_ -= mapping.bytes;
    // A new mapping in the place of the old: its memory goes back to the system.
    const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS;
    if (mmap(mapping.begin, mapping.size, PROT_NONE, flags, -1, 0) == MAP_FAILED) {
        end_process("a block that was given back cannot be made inaccessible");
    }
    quarantine_.push_back(mapping);
    if (quarantine_.size() > kQuarantine) {
        munmap(quarantine_.front().begin, quarantine_.front().size);
        quarantine_.pop_front();
    }
}

MemoryUse GuardedPool::use() {
    const std::lock_guard lock(mutex);
    return {in_use_, 0};
}

/// Never destroyed: arrays may outlive every static object.
GuardedPool& pool() {
    static GuardedPool* const instance = [] {
        system::at_fork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); },
                        [] { pool().mutex.unlock(); });
        return new GuardedPool;
    }();
    return *instance;
}

}  // namespace

void* pool_allocate(std::size_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 4) throw OutOfMemory(bytes);
    return pool().allocate(bytes);
}

void pool_release(void* block) noexcept {
    if (block != nullptr) pool().release(block);
}

MemoryUse memory_use() {
    return pool().use();
}

void release_cached_memory() {}

}  // namespace pocketcnn
