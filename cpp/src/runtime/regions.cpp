#include "runtime/regions.h"

#include <algorithm>
#include <iterator>
#include <new>

#include "runtime/system/system.h"

namespace pocketcnn {
namespace {

using system::kHugePage;

/// A new region is a share of all that is mapped, up to a size: small regions leave gaps that no
/// large block fits, and large ones are never wholly free (docs/measurements.md#memory).
constexpr std::size_t kShare = 8, kLargestShare = std::size_t{1} << 25;

std::size_t whole_huge_pages(std::size_t bytes) {
    return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

}  // namespace

void* Regions::take(std::size_t bytes) {
    const auto found = free_.lower_bound({bytes, nullptr});
    if (found == free_.end()) return nullptr;
    const auto piece = pieces_.find(found->second);
    const std::size_t rest = piece->second.size - bytes;
    if (rest > 0) {
        const Piece after = {.size = rest, .opens = false, .empty = piece->second.empty};
        const auto next = pieces_.emplace(piece->first + bytes, after).first;
        set_used(piece);
        piece->second.size = bytes;
        set_free(next);
    } else {
        set_used(piece);
    }
    piece->second.empty = false;
    return piece->first;
}

bool Regions::grow(std::size_t bytes) {
    std::size_t size = whole_huge_pages(std::max(bytes, std::min(mapped_ / kShare, kLargestShare)));
    void* memory = system::map_huge(size);
    if (memory == nullptr) {
        size = whole_huge_pages(bytes);
        memory = system::map_huge(size);
    }
    if (memory == nullptr) return false;
    auto* const begin = static_cast<std::byte*>(memory);
    try {
        set_free(pieces_.emplace(begin, Piece{.size = size, .opens = true}).first);
    } catch (const std::bad_alloc&) {
        system::unmap_huge(memory, size);
        return false;
    }
    mapped_ += size;
    return true;
}

void Regions::give(void* block) noexcept {
    auto piece = pieces_.find(static_cast<std::byte*>(block));
    set_free(piece);
    join_next(piece);
    if (!piece->second.opens) join_next(std::prev(piece));
}

void Regions::trim(std::size_t most) noexcept {
    for (auto at = free_.end(); at != free_.begin() && kept_ > most;) {
        const auto piece = pieces_.find(std::prev(at)->second);
        if (is_region(piece)) {
            unmap(piece);
        } else {
            discard(piece);
            --at;
        }
    }
}

bool Regions::is_region(Pieces::iterator piece) const {
    const auto next = std::next(piece);
    return piece->second.opens && (next == pieces_.end() || next->second.opens);
}

/// A piece for which there is no room in the list of free ones is lost.
void Regions::set_free(Pieces::iterator piece) noexcept {
    try {
        free_.emplace(piece->second.size, piece->first);
    } catch (const std::bad_alloc&) {
        return;
    }
    piece->second.free = true;
    if (!piece->second.empty) kept_ += piece->second.size;
}

void Regions::set_used(Pieces::iterator piece) noexcept {
    free_.erase({piece->second.size, piece->first});
    piece->second.free = false;
    if (!piece->second.empty) kept_ -= piece->second.size;
}

/// Makes one of a piece and the one behind it, if both are free and in one region.
void Regions::join_next(Pieces::iterator piece) noexcept {
    const auto next = std::next(piece);
    if (next == pieces_.end() || next->second.opens) return;
    if (!piece->second.free || !next->second.free) return;
    set_used(piece);
    set_used(next);
    piece->second.size += next->second.size;
    piece->second.empty = piece->second.empty && next->second.empty;
    pieces_.erase(next);
    set_free(piece);
}

void Regions::unmap(Pieces::iterator region) noexcept {
    set_used(region);
    mapped_ -= region->second.size;
    system::unmap_huge(region->first, region->second.size);
    pieces_.erase(region);
}

/// Returns a piece's memory but not its addresses.
void Regions::discard(Pieces::iterator piece) noexcept {
    if (piece->second.empty || !system::discard(piece->first, piece->second.size)) return;
    kept_ -= piece->second.size;
    piece->second.empty = true;
}

}  // namespace pocketcnn
