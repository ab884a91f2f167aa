#include "runtime/memory_pool.h"

#include <pocketcnn/runtime.h>
#include <pthread.h>
#include <sys/mman.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>

#include "runtime/spin.h"

namespace pocketcnn {
namespace {

constexpr std::size_t kHugePage = std::size_t{1} << 21;
/// Below this much in total, blocks are kept whatever the peak was.
constexpr std::size_t kAlwaysCached = std::size_t{1} << 26;
/// What is kept beyond the peak, as a share of it in one of so many: a training step asks for
/// blocks of many sizes, and without some more than the peak it never finds all of them. With a
/// fourth more, a step of ResNet-18 still fetched 80 MB of pages and took 283 ms; with half as much
/// again it takes 250.
constexpr std::size_t kSpareShare = 2;

/// Stands before each block, in kAlignment bytes of its own.
struct Header {
    std::size_t size;
    const void* last_user;  ///< the thread that gave it back
};
static_assert(sizeof(Header) <= kAlignment);

/// Its address stands for the thread.
thread_local char this_thread;

/// Rounds up to one of eight sizes per power of two, so that at most an eighth is wasted and a
/// slightly different batch still finds its block.
std::size_t size_class(std::size_t bytes) {
    constexpr std::size_t smallest = 512;
    if (bytes <= smallest) return smallest;
    const std::size_t step = std::bit_floor(bytes - 1) / 8;
    return (bytes + step - 1) / step * step;
}

class Pool {
  public:
    void* allocate(std::size_t bytes);
    void release(void* block) noexcept;
    void trim(std::size_t keep) noexcept;
    MemoryUse use() const;

    std::mutex mutex;

  private:
    Header* take(std::size_t size);

    std::multimap<std::size_t, Header*> free_;
    std::size_t in_use_ = 0, cached_ = 0, peak_ = kAlwaysCached;
};

/// Bytes of a block with its header; from kHugePage on, whole huge pages.
std::size_t total_size(std::size_t size) {
    const std::size_t total = size + kAlignment;
    const std::size_t unit = total >= kHugePage ? kHugePage : kAlignment;
    return (total + unit - 1) / unit * unit;
}

/// Fresh memory that begins at a huge page. Not from the C library, whose heap hands out what has
/// small pages already: a convolution of 192x13x13 images then took 38 ms instead of 22.
void* map_huge(std::size_t total) {
    void* const mapped = mmap(nullptr, total + kHugePage, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    char* const begin = static_cast<char*>(mapped);
    const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
    if (before > 0) munmap(begin, before);
    if (before < kHugePage) munmap(begin + before + total, kHugePage - before);
#ifdef MADV_HUGEPAGE
    madvise(begin + before, total, MADV_HUGEPAGE);
#endif
    return begin + before;
}

Header* map_block(std::size_t size) {
    const std::size_t total = total_size(size);
    void* memory = total >= kHugePage ? map_huge(total) : std::aligned_alloc(kAlignment, total);
    return memory == nullptr ? nullptr : ::new (memory) Header{size, nullptr};
}

void unmap_block(Header* header) noexcept {
    const std::size_t total = total_size(header->size);
    if (total >= kHugePage) {
        munmap(header, total);
    } else {
        std::free(header);
    }
}

/// The smallest free block that holds `size` bytes, unless more than half of it would lie idle. Of
/// several, the last that this thread gave back, which is in its cache; another thread's would come
/// from another core's cache, line by line: LeNet-5's second convolution 0.52 ms on two cores
/// instead of 0.36, the training step 2.8 instead of 2.45.
Header* Pool::take(std::size_t size) {
    auto found = free_.lower_bound(size);
    if (found == free_.end() || found->first > 2 * size) return nullptr;
    const auto [first, last] = free_.equal_range(found->first);
    found = std::prev(last);
    constexpr int looks = 16;
    auto own = last;
    for (int i = 0; i < looks && own != first; ++i) {
        if ((--own)->second->last_user == &this_thread) {
            found = own;
            break;
        }
    }
    Header* header = found->second;
    cached_ -= found->first;
    free_.erase(found);
    return header;
}

void* Pool::allocate(std::size_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 4) throw std::bad_alloc();
    const std::size_t size = size_class(bytes);
    const std::unique_lock lock = lock_soon(mutex);
    Header* header = take(size);
    if (header == nullptr) {
        const std::size_t most = peak_ + peak_ / kSpareShare;
        trim(most > in_use_ + size ? most - in_use_ - size : 0);
        header = map_block(size);
        if (header == nullptr) throw std::bad_alloc();
    }
    in_use_ += header->size;
    peak_ = in_use_ > peak_ ? in_use_ : peak_;
    return reinterpret_cast<char*>(header) + kAlignment;
}

void Pool::release(void* block) noexcept {
    auto* header = reinterpret_cast<Header*>(static_cast<char*>(block) - kAlignment);
    header->last_user = &this_thread;
    const std::unique_lock lock = lock_soon(mutex);
    in_use_ -= header->size;
    try {
        free_.emplace(header->size, header);
        cached_ += header->size;
    } catch (const std::bad_alloc&) {
        unmap_block(header);
    }
}

/// Frees the largest cached blocks until at most `keep` bytes stay.
void Pool::trim(std::size_t keep) noexcept {
    while (cached_ > keep) {
        const auto largest = std::prev(free_.end());
        cached_ -= largest->first;
        unmap_block(largest->second);
        free_.erase(largest);
    }
}

MemoryUse Pool::use() const {
    return {in_use_, cached_};
}

/// Never destroyed: arrays may outlive every static object. A fork must not copy a locked mutex.
Pool& pool() {
    static Pool* const instance = [] {
        pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); },
                       [] { pool().mutex.unlock(); });
        return new Pool;
    }();
    return *instance;
}

}  // namespace

void* pool_allocate(std::size_t bytes) {
    return pool().allocate(bytes);
}

void pool_release(void* block) noexcept {
    if (block != nullptr) pool().release(block);
}

MemoryUse memory_use() {
    const std::lock_guard lock(pool().mutex);
    return pool().use();
}

void release_cached_memory() {
    const std::lock_guard lock(pool().mutex);
    pool().trim(0);
}

}  // namespace pocketcnn
