#include "runtime/memory_pool.h"

#include <pocketcnn/runtime.h>

#include <algorithm>
#include <array>
#include <bit>
#include <iterator>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "runtime/regions.h"
#include "runtime/spin.h"
#include "runtime/system/system.h"

namespace pocketcnn {
namespace {

/// Up to this total, blocks are kept regardless of the peak.
constexpr std::size_t kAlwaysCached = std::size_t{1} << 26;
/// From this size on, blocks come from regions, where they have exactly their size.
constexpr std::size_t kLarge = std::size_t{1} << 20;
/// 1 / kSpareShare of the peak is kept in addition to it. A training step requests blocks of many
/// sizes, and with no more than the peak it never finds all of them; a quarter more is not enough
/// (docs/measurements.md#memory).
constexpr std::size_t kSpareShare = 2;

/// Stands before each block, in kAlignment bytes of its own.
struct Header {
    std::size_t size;
    const void* last_user;  ///< the thread that released it
};
static_assert(sizeof(Header) <= kAlignment);

/// Its address identifies the thread.
thread_local char this_thread;

bool serves(const Header* header, std::size_t size) {
    return size <= header->size && header->size <= 2 * size;
}

/// Rounds up to one of eight sizes per power of two, so that at most an eighth is wasted and a
/// batch of slightly different size still finds its block. A large block fills its pages.
std::size_t size_class(std::size_t bytes) {
    constexpr std::size_t smallest = 512, page = Regions::kPage;
    if (bytes <= smallest) return smallest;
    const auto shift = static_cast<int>(std::bit_width(bytes - 1)) - 4;
    const std::size_t size = (((bytes - 1) >> shift) + 1) << shift;
    return size < kLarge ? size : (bytes + kAlignment + page - 1) / page * page - kAlignment;
}

/// The small blocks that a thread released last. They are in its cache, and it takes them again
/// without waiting for other threads (docs/measurements.md#memory). The lock is needed only because
/// other threads may clear or count.
class Shelf {
  public:
    /// The most recent block that is large enough, or null.
    Header* take(std::size_t size);
    /// Returns the block that does not fit: the oldest, or this one if it is large; null if all
    /// fit.
    Header* put(Header* header);
    /// Calls body for each block, which then belongs to the caller.
    template <typename Body>
    void clear(const Body& body);
    std::size_t bytes();

    std::mutex mutex;

  private:
    static constexpr std::size_t kLargest = std::size_t{1} << 18;
    static constexpr std::size_t kPlaces = 8;

    std::array<Header*, kPlaces> blocks_{};  ///< oldest first
    std::size_t count_ = 0;
};

class Pool {
  public:
    Header* allocate(std::size_t size);
    void release(Header* header) noexcept;
    /// Frees all cached blocks, also those on shelves.
    void release_cached() noexcept;
    MemoryUse use();

    Shelf* open_shelf();
    void close(Shelf* shelf) noexcept;

    /// Around a fork, which must not copy a locked mutex.
    void lock_all();
    void unlock_all();

  private:
    Header* take(std::size_t size);
    Header* take_small(std::size_t size);
    Header* fetch(std::size_t size);
    void keep(Header* header) noexcept;
    void trim(std::size_t keep) noexcept;
    std::size_t cached() const { return small_ + regions_.kept(); }

    std::mutex mutex_;
    std::multimap<std::size_t, Header*> free_;  ///< small blocks
    Regions regions_;
    std::list<Shelf> shelves_;  ///< their blocks count as in use
    std::size_t in_use_ = 0, small_ = 0, peak_ = kAlwaysCached;
};

Header* with_header(void* memory, std::size_t size) {
    return memory == nullptr ? nullptr : ::new (memory) Header{size, nullptr};
}

Header* Shelf::take(std::size_t size) {
    const std::unique_lock lock = lock_soon(mutex);
    for (std::size_t i = count_; i-- > 0;) {
        Header* header = blocks_[i];
        if (!serves(header, size)) continue;
        std::copy(blocks_.begin() + i + 1, blocks_.begin() + count_--, blocks_.begin() + i);
        return header;
    }
    return nullptr;
}

Header* Shelf::put(Header* header) {
    if (header->size > kLargest) return header;
    const std::unique_lock lock = lock_soon(mutex);
    if (count_ < kPlaces) {
        blocks_[count_++] = header;
        return nullptr;
    }
    Header* oldest = blocks_.front();
    std::copy(blocks_.begin() + 1, blocks_.end(), blocks_.begin());
    blocks_.back() = header;
    return oldest;
}

template <typename Body>
void Shelf::clear(const Body& body) {
    const std::unique_lock lock = lock_soon(mutex);
    std::for_each_n(blocks_.begin(), std::exchange(count_, 0), body);
}

std::size_t Shelf::bytes() {
    const std::unique_lock lock = lock_soon(mutex);
    std::size_t total = 0;
    for (std::size_t i = 0; i < count_; ++i) total += blocks_[i]->size;
    return total;
}

Header* Pool::take(std::size_t size) {
    if (size < kLarge) return take_small(size);
    return with_header(regions_.take(size + kAlignment), size);
}

/// The smallest free block that is large enough. Of several, the one that this thread released
/// last, because it is in its cache; another thread's block would come from another core's cache,
/// line by line (docs/measurements.md#memory).
Header* Pool::take_small(std::size_t size) {
    auto found = free_.lower_bound(size);
    if (found == free_.end() || !serves(found->second, size)) return nullptr;
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
    small_ -= found->first;
    free_.erase(found);
    return header;
}

/// A block of fresh memory, for which the pool may give up others; null if there is none.
Header* Pool::fetch(std::size_t size) {
    const std::size_t most = peak_ + peak_ / kSpareShare;
    trim(most > in_use_ + size ? most - in_use_ - size : 0);
    const std::size_t total = size + kAlignment;
    if (size < kLarge) return with_header(system::allocate_aligned(kAlignment, total), size);
    return regions_.grow(total) ? take(size) : nullptr;
}

Header* Pool::allocate(std::size_t size) {
    const std::unique_lock lock = lock_soon(mutex_);
    Header* header = take(size);
    if (header == nullptr) header = fetch(size);
    if (header == nullptr) throw OutOfMemory(size);
    in_use_ += header->size;
    peak_ = std::max(peak_, in_use_);
    return header;
}

void Pool::release(Header* header) noexcept {
    const std::unique_lock lock = lock_soon(mutex_);
    keep(header);
}

void Pool::keep(Header* header) noexcept {
    in_use_ -= header->size;
    if (header->size >= kLarge) return regions_.give(header);
    try {
        free_.emplace(header->size, header);
        small_ += header->size;
    } catch (const std::bad_alloc&) {
        system::free_aligned(header);
    }
}

void Pool::release_cached() noexcept {
    const std::unique_lock lock = lock_soon(mutex_);
    for (Shelf& shelf : shelves_) shelf.clear([this](Header* header) { keep(header); });
    trim(0);
}

/// Frees the largest cached blocks until at most `keep` bytes remain.
void Pool::trim(std::size_t keep) noexcept {
    regions_.trim(keep > small_ ? keep - small_ : 0);
    while (small_ > 0 && cached() > keep) {
        const auto largest = std::prev(free_.end());
        small_ -= largest->first;
        system::free_aligned(largest->second);
        free_.erase(largest);
    }
}

MemoryUse Pool::use() {
    const std::unique_lock lock = lock_soon(mutex_);
    std::size_t on_shelves = 0;
    for (Shelf& shelf : shelves_) on_shelves += shelf.bytes();
    return {in_use_ - on_shelves, cached() + on_shelves};
}

Shelf* Pool::open_shelf() {
    const std::unique_lock lock = lock_soon(mutex_);
    return &shelves_.emplace_back();
}

void Pool::close(Shelf* shelf) noexcept {
    const std::unique_lock lock = lock_soon(mutex_);
    shelf->clear([this](Header* header) { keep(header); });
    shelves_.remove_if([&](const Shelf& other) { return &other == shelf; });
}

void Pool::lock_all() {
    mutex_.lock();
    for (Shelf& shelf : shelves_) shelf.mutex.lock();
}

void Pool::unlock_all() {
    for (Shelf& shelf : shelves_) shelf.mutex.unlock();
    mutex_.unlock();
}

/// Never destroyed: arrays may outlive every static object.
Pool& pool() {
    static Pool* const instance = [] {
        system::at_fork([] { pool().lock_all(); }, [] { pool().unlock_all(); },
                        [] { pool().unlock_all(); });
        return new Pool;
    }();
    return *instance;
}

/// Null before the thread's first block and while the thread ends.
thread_local Shelf* this_shelf = nullptr;

/// Gives the thread a shelf, which is closed when the thread ends.
void open_this_shelf() {
    static thread_local bool had_one = false;
    if (std::exchange(had_one, true)) return;
    struct Closer {
        Closer() : shelf(pool().open_shelf()) { this_shelf = shelf; }
        ~Closer() {
            this_shelf = nullptr;
            pool().close(shelf);
        }
        Shelf* shelf;
    };
    static thread_local const Closer closer;
}

}  // namespace

void* pool_allocate(std::size_t bytes) {
    if (bytes > std::numeric_limits<std::size_t>::max() / 4) throw OutOfMemory(bytes);
    const std::size_t size = size_class(bytes);
    if (this_shelf == nullptr) open_this_shelf();
    Header* header = this_shelf != nullptr ? this_shelf->take(size) : nullptr;
    if (header == nullptr) header = pool().allocate(size);
    return reinterpret_cast<char*>(header) + kAlignment;
}

void pool_release(void* block) noexcept {
    if (block == nullptr) return;
    auto* header = reinterpret_cast<Header*>(static_cast<char*>(block) - kAlignment);
    header->last_user = &this_thread;
    if (this_shelf != nullptr) header = this_shelf->put(header);
    if (header != nullptr) pool().release(header);
}

MemoryUse memory_use() {
    return pool().use();
}

void release_cached_memory() {
    pool().release_cached();
}

}  // namespace pocketcnn
