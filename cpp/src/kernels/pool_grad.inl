// Gradients of pooling, a plane at a time. Like pool.inl, which comes first, it lets whole vectors
// run over the end of a row into the next, which is written later.

// Whether all places are in [0, limit). The sign bits tell, without a branch, which vectorises.
template <typename Place>
inline bool are_below(index_t count, const Place* places, index_t limit) {
    std::uint64_t signs = 0;
    for (index_t i = 0; i < count; ++i) {
        const auto place = static_cast<std::uint64_t>(index_t{places[i]});
        signs |= place | (static_cast<std::uint64_t>(limit) - 1 - place);
    }
    return signs >> 63 == 0;
}

template <typename T, typename Place>
bool scatter(index_t size, const T* values, const Place* places, index_t out_size, T* out) {
    constexpr index_t lanes = kLanes<T>, chunk = 8 * lanes;
    index_t i = 0;
    for (; i + chunk <= out_size; i += chunk) {
        prefetch<1>(out + i, kReadAhead, chunk * index_t{sizeof(T)});
        for (index_t k = 0; k < chunk; k += lanes) store(out + i + k, Vec<T>{});
    }
    for (; i < out_size; ++i) out[i] = 0;
    // A block is checked as a whole before it is used.
    constexpr index_t block = 256;
    for (index_t begin = 0; begin < size; begin += block) {
        const index_t end = begin + block < size ? begin + block : size;
        prefetch<0>(values + begin, kReadAhead, (end - begin) * index_t{sizeof(T)});
        prefetch<0>(places + begin, kReadAhead, (end - begin) * index_t{sizeof(Place)});
        if (!are_below(end - begin, places + begin, out_size)) return false;
        for (i = begin; i < end; ++i) out[places[i]] += values[i];
    }
    return true;
}

// The rows of windows from `row` on, without vectors.
template <typename T, typename Place>
[[gnu::noinline]] bool spread_one_by_one(const HalvedPlane& plane, index_t row, const T* values,
                                         const Place* places, T* out) {
    const index_t cols = 2 * plane.count;
    for (index_t i = 2 * row * cols; i < 2 * plane.rows * cols; ++i) out[i] = 0;
    for (; row < plane.rows; ++row) {
        for (index_t i = 0; i < plane.count; ++i) {
            const index_t at = row * plane.count + i, place = places[at];
            const index_t offset = place - (2 * row * cols + 2 * i);
            if (offset != 0 && offset != 1 && offset != cols && offset != cols + 1) return false;
            out[place] = values[at];
        }
    }
    return true;
}

/// Gradients of rows of 2x2 windows that touch but do not overlap, windows in the lanes.
template <typename T, int Bytes>
struct HalvedRows {
    using P = Pack<T, Bytes>;
    using Int = typename P::Int;
    static constexpr index_t lanes = P::lanes;

    index_t count;
    Int wrong = {};  ///< not zero in a lane that has had a place outside its window

    /// Places of windows that begin at `first`, `first` + 2, ..., from each one's own first pixel.
    template <typename Place>
    [[gnu::always_inline]] Int offsets(const Place* places, index_t first) {
        const auto* words = reinterpret_cast<const Whole<T>*>(places);
        const Int start = P::sequence(0, 2) + static_cast<Whole<T>>(first);
        if constexpr (sizeof(Whole<T>) == sizeof(Place)) {
            return P::load_whole(words) - start;
        } else if constexpr (sizeof(Whole<T>) > sizeof(Place)) {
            Int wide{};
            for (index_t i = 0; i < lanes; ++i) wide[i] = places[i];
            return wide - start;
        } else {
            // Of each place the low half, which comes first, and the high half, which is zero.
            const Int low = P::load_whole(words), high = P::load_whole(words + lanes);
            mark(__builtin_shuffle(low, high, P::sequence(1, 2)));
            return __builtin_shuffle(low, high, P::sequence(0, 2)) - start;
        }
    }

    [[gnu::always_inline]] void mark(Int fault) {
        wrong |= P::sequence(0, 1) < static_cast<Whole<T>>(count) ? fault : Int{};
    }

    [[gnu::always_inline]] static void store_row(T* to, typename P::Vec even, typename P::Vec odd) {
        Int low;
        for (index_t k = 0; k < lanes; ++k) low[k] = k / 2 + k % 2 * lanes;
        P::store(to, __builtin_shuffle(even, odd, low));
        P::store(to + lanes, __builtin_shuffle(even, odd, low + static_cast<Whole<T>>(lanes / 2)));
    }

    /// The two rows of pixels, `cols` apart, under the first vector of windows.
    template <typename Place>
    [[gnu::always_inline]] void spread(index_t cols, const T* values, const Place* places,
                                       index_t first, T* to) {
        const auto value = P::load(values);
        const Int offset = offsets(places, first);
        const auto below = static_cast<Whole<T>>(cols);
        const auto part = [&](Whole<T> tap) { return offset == tap ? value : typename P::Vec{}; };
        const Int known = (offset == 0) | (offset == 1) | (offset == below) | (offset == below + 1);
        mark(~known);
        store_row(to, part(0), part(1));
        store_row(to + cols, part(below), part(below + 1));
    }

    bool all_right() const {
        std::uint64_t bits = 0;
        for (index_t i = 0; i < lanes; ++i) bits |= static_cast<std::uint64_t>(wrong[i]);
        return bits == 0;
    }
};

// Vectors no wider than a row needs; where that is still wider than the row, they run over its
// end, which the next row overwrites. False, with nothing settled, where a place is not in its
// window.
template <typename T, int Bytes, typename Place>
inline bool spread_halved(const HalvedPlane& plane, const T* values, const Place* places, T* out) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    const index_t count = plane.count, cols = 2 * count;
    if constexpr (Bytes > kLeastBytes) {
        if (count <= lanes / 2) return spread_halved<T, Bytes / 2>(plane, values, places, out);
    }
    HalvedRows<T, Bytes> rows{count};
    index_t first = 0;
    for (index_t row = 0; row < plane.rows; ++row, first += 2 * cols) {
        const index_t at = row * count;
        if (count < lanes &&
            (at + lanes > plane.values_room || first + cols + 2 * lanes > plane.out_room)) {
            return rows.all_right() && spread_one_by_one(plane, row, values, places, out);
        }
        prefetch<1>(out + first, kReadAhead, 2 * cols * index_t{sizeof(T)});
        prefetch<0>(values + at, kReadAhead, count * index_t{sizeof(T)});
        prefetch<0>(places + at, kReadAhead, count * index_t{sizeof(Place)});
        for (index_t i = 0; i < count; i += lanes) {
            if (i + lanes > count && count > lanes) i = count - lanes;
            rows.spread(cols, values + at + i, places + at + i, first + 2 * i, out + first + 2 * i);
        }
        if (row == 0 && !rows.all_right()) return false;
    }
    return rows.all_right();
}

template <typename T, typename Place>
bool unpool_halved(const HalvedPlane& plane, const T* values, const Place* places, T* out) {
    return spread_halved<T, kVectorBytes>(plane, values, places, out);
}

template <typename T, typename Place>
inline constexpr MaxPoolKernels<T, Place> max_pool_kernels = {max_pool<T, Place>, scatter<T, Place>,
                                                              unpool_halved<T, Place>};

/// shares[i] (+)= values[i] / (rows * cols[i]). Where `free`, whole vectors run over the end.
template <typename T>
inline void add_shares(index_t size, bool free, bool accumulate, const T* values, T rows,
                       const T* cols, T* shares) {
    constexpr index_t lanes = kLanes<T>;
    index_t i = 0;
    for (; i + (free ? 1 : lanes) <= size; i += lanes) {
        const Vec<T> share = load(values + i) / (rows * load(cols + i));
        store(shares + i, accumulate ? load(shares + i) + share : share);
    }
    for (; i < size; ++i) {
        shares[i] = (accumulate ? shares[i] : T{0}) + values[i] / (rows * cols[i]);
    }
}

/// Stride * lanes elements of a row, from one of phase 0 on; shares stands at its window.
template <typename T, int Bytes, int Stride, int Taps>
inline void spread_tile(index_t taps, const T* shares, T* out) {
    using P = Pack<T, Bytes>;
    if constexpr (Taps != 0) taps = Taps;
    typename P::Vec even{}, odd{};
    if constexpr (Stride == 1) {
        for (index_t k = 0; k < taps; ++k) even += P::load(shares - k);
        P::store(out, even);
    } else {
        for (index_t phase = 0; phase < taps; phase += 2, --shares) {
            const typename P::Vec value = P::load(shares);
            even += value;
            if (phase + 1 < taps) odd += value;
        }
        typename P::Int low, high;
        for (int i = 0; i < P::lanes; ++i) {
            low[i] = i / 2 + i % 2 * P::lanes;
            high[i] = low[i] + P::lanes / 2;
        }
        P::store(out, __builtin_shuffle(even, odd, low));
        P::store(out + P::lanes, __builtin_shuffle(even, odd, high));
    }
}

/// Tiles of elements from x on; returns the first element not done. Where the row is free, tiles
/// run over its end.
template <typename T, int Bytes, int Stride, int Taps>
inline index_t spread_tiles(const AveragePlane<T>& plane, bool free, index_t x, const T* shares,
                            T* out) {
    constexpr index_t step = Stride * Pack<T, Bytes>::lanes;
    for (; x + (free ? step / 2 + 1 : step) <= plane.cols; x += step) {
        spread_tile<T, Bytes, Stride, Taps>(plane.taps_x, shares + (x + plane.pad_x) / Stride,
                                            out + x);
    }
    if constexpr (Bytes > kLeastBytes) {
        return spread_tiles<T, Bytes / 2, Stride, Taps>(plane, free, x, shares, out);
    }
    if (free && x < plane.cols) {
        spread_tile<T, Bytes, Stride, Taps>(plane.taps_x, shares + (x + plane.pad_x) / Stride,
                                            out + x);
        x += step;
    }
    return x;
}

/// out[x] = the sum of the shares of the windows that cover x.
template <typename T, int Stride, int Taps>
inline void spread_row(const AveragePlane<T>& plane, bool free, const T* shares, T* out) {
    const index_t stride = Stride != 0 ? Stride : plane.stride_x;
    index_t x = 0, q = plane.pad_x / stride, phase = plane.pad_x % stride;
    const auto single = [&] {
        T total = 0;
        index_t window = q;
        for (index_t k = phase; k < plane.taps_x; k += stride) total += shares[window--];
        out[x++] = total;
        if (++phase == stride) {
            phase = 0;
            ++q;
        }
    };
    if constexpr (Stride != 0) {
        if (phase != 0) single();
        x = spread_tiles<T, kVectorBytes, Stride, Taps>(plane, free, x, shares, out);
        q = (x + plane.pad_x) / stride;
        phase = (x + plane.pad_x) % stride;
    }
    while (x < plane.cols) single();
}

template <typename T, int Stride, int Taps>
void average_pool_grad(const AveragePlane<T> plane, const T* dy, T* dx) {
    const index_t covering = (plane.cols - 1 + plane.pad_x) / plane.stride_x + 1;
    index_t first = 0, end = 0;
    for (index_t row = 0; row < plane.rows; ++row, dx += plane.cols) {
        // The output rows [first, end) have windows [oy * stride - pad, + taps) that hold this one.
        const index_t at = row + plane.pad_y;
        bool changed = row == 0;
        for (; first * plane.stride_y + plane.taps_y <= at; ++first) changed = true;
        for (; end < plane.out_rows && end * plane.stride_y <= at; ++end) changed = true;
        if (changed) {
            for (index_t oy = first; oy < end; ++oy) {
                const bool free = (oy + 1) * plane.out_cols + kPackSlack <= plane.dy_room;
                add_shares(plane.out_cols, free, oy > first, dy + oy * plane.out_cols,
                           plane.row_lengths[oy], plane.col_lengths, plane.shares);
            }
            // What stands behind the last window: nothing, or what whole vectors left there.
            const index_t windows = first < end ? plane.out_cols : 0;
            for (index_t i = windows; i < covering; ++i) plane.shares[i] = 0;
        }
        if (!changed) {
            copy_row(plane.cols, 1, dx - plane.cols, dx);
            continue;
        }
        const bool free = (row + 1) * plane.cols + kPackSlack <= plane.dx_room;
        prefetch<1>(dx, kReadAhead, plane.cols * index_t{sizeof(T)});
        spread_row<T, Stride, Taps>(plane, free, plane.shares, dx);
    }
}

/// out[2 i] = out[2 i + 1] = values[i] / 4. Where `free`, whole vectors run over the end.
template <typename T>
inline void spread_quarters(index_t count, bool free, const T* values, T* out) {
    constexpr index_t lanes = kLanes<T>;
    index_t i = 0;
    for (; i + (free ? 1 : lanes) <= count; i += lanes) {
        const Vec<T> quarter = load(values + i) * T{0.25};
        store(out + 2 * i, interleave<T>(quarter, quarter, 0));
        if (count - i > lanes / 2) {
            store(out + 2 * i + lanes, interleave<T>(quarter, quarter, lanes / 2));
        }
    }
    for (; i < count; ++i) out[2 * i] = out[2 * i + 1] = values[i] * T{0.25};
}

/// Whether windows of 2x2 cover the plane without a gap or an overlap: then a quarter of each
/// gradient goes to four elements.
template <typename T>
inline bool is_quartered(const AveragePlane<T>& plane) {
    return plane.taps_y == 2 && plane.taps_x == 2 && plane.stride_y == 2 && plane.stride_x == 2 &&
           plane.rows == 2 * plane.out_rows && plane.cols == 2 * plane.out_cols &&
           plane.pad_y == 0 && plane.pad_x == 0;
}

template <typename T>
void quarter_grad(const AveragePlane<T>& plane, const T* dy, T* dx) {
    for (index_t row = 0; row < plane.rows; ++row, dx += plane.cols) {
        const T* values = dy + row / 2 * plane.out_cols;
        const bool free = (row / 2 + 1) * plane.out_cols + kPackSlack <= plane.dy_room &&
                          (row + 1) * plane.cols + kPackSlack <= plane.dx_room;
        prefetch<1>(dx, kReadAhead, plane.cols * index_t{sizeof(T)});
        spread_quarters(plane.out_cols, free, values, dx);
    }
}

template <typename T>
void average_pool_grad(const AveragePlane<T>& plane, const T* dy, T* dx) {
    if (is_quartered(plane)) {
        quarter_grad(plane, dy, dx);
    } else if (plane.stride_x == 2 && plane.taps_x == 2) {
        average_pool_grad<T, 2, 2>(plane, dy, dx);
    } else if (plane.stride_x == 2 && plane.taps_x == 3) {
        average_pool_grad<T, 2, 3>(plane, dy, dx);
    } else if (plane.stride_x == 2) {
        average_pool_grad<T, 2, 0>(plane, dy, dx);
    } else if (plane.stride_x == 1) {
        average_pool_grad<T, 1, 0>(plane, dy, dx);
    } else {
        average_pool_grad<T, 0, 0>(plane, dy, dx);
    }
}
