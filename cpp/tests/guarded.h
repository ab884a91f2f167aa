// Arrays between two inaccessible pages, so that reading or writing one element too many ends the
// test at once, and so does writing to an input. Not an allocator: one mapping per array.
#pragma once

#include <pocketcnn/types.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "forbidden_pages.h"

namespace pocketcnn::tests {

/// Which end of the array touches an inaccessible page. With the back, the start of the array is
/// aligned to one element only.
enum class Edge { front, back };

inline constexpr Edge kEdges[] = {Edge::front, Edge::back};

/// An array that starts as bytes of 0xFF: NaN, or -1.
template <typename T>
class Guarded {
  public:
    explicit Guarded(index_t size, Edge edge = Edge::back) : size_(size), page_(page_size()) {
        const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
        room_ = std::max<std::size_t>(1, (bytes + page_ - 1) / page_) * page_;
        void* memory = map_forbidden(room_ + 2 * page_);
        if (memory == nullptr) throw std::bad_alloc();
        mapping_ = static_cast<unsigned char*>(memory);
        allow_inside(Access::read_and_write);
        std::memset(mapping_ + page_, kFill, room_);
        const std::size_t offset = edge == Edge::front ? 0 : room_ - bytes;
        data_ = reinterpret_cast<T*>(mapping_ + page_ + offset);
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    ~Guarded() { unmap(mapping_, room_ + 2 * page_); }

    T* data() const { return data_; }
    index_t size() const { return size_; }
    T& operator[](index_t i) const { return data_[i]; }
    T* begin() const { return data_; }
    T* end() const { return data_ + size_; }
    std::vector<T> copy() const { return std::vector<T>(begin(), end()); }

    /// From now on a write to the array crashes.
    void freeze() { allow_inside(Access::read); }

    /// False if something wrote beside the array, on its own pages.
    bool margins_intact() const {
        const auto is_fill = [](unsigned char byte) { return byte == kFill; };
        const auto* first = reinterpret_cast<const unsigned char*>(data_);
        const auto* last = reinterpret_cast<const unsigned char*>(data_ + size_);
        return std::all_of(static_cast<const unsigned char*>(mapping_ + page_), first, is_fill) &&
               std::all_of(last, static_cast<const unsigned char*>(mapping_ + page_ + room_),
                           is_fill);
    }
    /// True as long as nothing wrote to the array.
    bool untouched() const {
        const auto* bytes = reinterpret_cast<const unsigned char*>(data_);
        return margins_intact() &&
               std::all_of(bytes, bytes + static_cast<std::size_t>(size_) * sizeof(T),
                           [](unsigned char byte) { return byte == kFill; });
    }

  private:
    static constexpr unsigned char kFill = 0xFF;

    void allow_inside(Access access) {
        if (!allow(mapping_ + page_, room_, access)) throw std::bad_alloc();
    }

    index_t size_;
    std::size_t page_;
    std::size_t room_ = 0;
    unsigned char* mapping_ = nullptr;
    T* data_ = nullptr;
};

}  // namespace pocketcnn::tests
