// Large blocks, cut out of regions that the system maps. What is given back joins its free
// neighbours, so that the blocks of one size make room for another's.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <utility>

namespace pocketcnn {

/// Not for several threads at once: the pool has a lock.
class Regions {
  public:
    /// Sizes of blocks are multiples of it.
    static constexpr std::size_t kPage = 4096;

    /// The smallest free piece that is large enough, cut to size; null if there is none.
    void* take(std::size_t bytes);
    /// Maps a region with room for `bytes`; whether the system had the memory.
    bool grow(std::size_t bytes);
    void give(void* block) noexcept;
    /// Returns the largest free pieces to the system until at most `most` bytes are kept.
    void trim(std::size_t most) noexcept;
    /// Bytes of the free pieces that still have memory.
    std::size_t kept() const { return kept_; }

  private:
    struct Piece {
        std::size_t size;
        bool opens;         ///< a region: it does not join the piece before it
        bool empty = true;  ///< has no memory yet, or has returned it
        bool free = false;
    };
    using Pieces = std::map<std::byte*, Piece>;

    bool is_region(Pieces::iterator piece) const;
    void set_free(Pieces::iterator piece) noexcept;
    void set_used(Pieces::iterator piece) noexcept;
    void join_next(Pieces::iterator piece) noexcept;
    void unmap(Pieces::iterator region) noexcept;
    void discard(Pieces::iterator piece) noexcept;

    Pieces pieces_;
    std::set<std::pair<std::size_t, std::byte*>> free_;  ///< by size
    std::size_t mapped_ = 0, kept_ = 0;
};

}  // namespace pocketcnn
