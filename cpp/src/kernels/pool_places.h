// Where maxima were found, as max pooling stores it: integers of either width.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

/// to[i] = place[i], none of which is negative.
template <typename T, int Bytes, typename Place>
[[gnu::always_inline]] inline void store_places(typename Pack<T, Bytes>::Int place, Place* to) {
    using P = Pack<T, Bytes>;
    auto* words = reinterpret_cast<Whole<T>*>(to);
    if constexpr (sizeof(Whole<T>) == sizeof(Place)) {
        P::store_whole(words, place);
    } else if constexpr (sizeof(Whole<T>) > sizeof(Place)) {
        for (int i = 0; i < P::lanes; ++i) to[i] = static_cast<Place>(place[i]);
    } else {
        // The low half of an element comes first, the high half is zero.
        const typename P::Int zero{};
        P::store_whole(words, interleave_lower(place, zero));
        P::store_whole(words + P::lanes, interleave_upper(place, zero));
    }
}

/// Where places go, as integers of type Place, or, where that is void, of a width known at run
/// time: that is half of the code, but for float takes up to a third longer.
template <typename Place>
class Places {
  public:
    explicit Places(index_t* wide) : data_(reinterpret_cast<char*>(wide)), wide_(true) {}
    explicit Places(std::int32_t* narrow) : data_(reinterpret_cast<char*>(narrow)), wide_(false) {}

    void advance(index_t count) { data_ += count * (is_wide() ? 8 : 4); }

    [[gnu::always_inline]] void prefetch(index_t at, index_t count) const {
        if (is_wide()) {
            POCKETCNN_ISA::prefetch<1>(wide() + at, 2 * kWriteAhead, count * 8);
        } else {
            POCKETCNN_ISA::prefetch<1>(narrow() + at, 2 * kWriteAhead, count * 4);
        }
    }

    template <typename T, int Bytes>
    [[gnu::always_inline]] void store(index_t at, typename Pack<T, Bytes>::Int places) const {
        if (is_wide()) {
            store_places<T, Bytes>(places, wide() + at);
        } else {
            store_places<T, Bytes>(places, narrow() + at);
        }
    }

    [[gnu::always_inline]] void set(index_t at, index_t place) const {
        if (is_wide()) {
            wide()[at] = place;
        } else {
            narrow()[at] = static_cast<std::int32_t>(place);
        }
    }

  private:
    bool is_wide() const {
        if constexpr (std::is_void_v<Place>) {
            return wide_;
        } else {
            return sizeof(Place) == sizeof(index_t);
        }
    }
    index_t* wide() const { return reinterpret_cast<index_t*>(data_); }
    std::int32_t* narrow() const { return reinterpret_cast<std::int32_t*>(data_); }

    char* data_;
    bool wide_;
};

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
