// Pooling of blocks of windows, windows in the lanes. The caller clips taps to
// the image, so nothing here checks bounds. Rows are often shorter than a vector: then vectors run
// over the end of a row into the next one, whose results are written later, and only the last rows
// of an array are done with care.

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
        typename P::Int low;
        for (int i = 0; i < P::lanes; ++i) low[i] = i / 2 + i % 2 * P::lanes;
        const typename P::Int zero{};
        P::store_whole(words, __builtin_shuffle(place, zero, low));
        P::store_whole(words + P::lanes, __builtin_shuffle(place, zero, low + P::lanes / 2));
    }
}

/// How far ahead of its use memory is asked for, in bytes: pooling moves several streams at once,
/// which the hardware's prefetcher follows badly. Found by trial on 16x64x112x112, 2x2: without,
/// 6.3 ms; so, and tile by tile, 2.5 ms; asking for whole rows at once did not help.
inline constexpr index_t kReadAhead = 4096;
inline constexpr index_t kWriteAhead = 1024;

/// Asks for `bytes` from the given distance on; the address need not exist.
template <int Write>
[[gnu::always_inline]] inline void prefetch(const void* here, index_t ahead, index_t bytes) {
    constexpr index_t line = 64;
    const auto from = reinterpret_cast<std::uintptr_t>(here) + ahead;
    for (index_t i = 0; i < bytes; i += line) {
        __builtin_prefetch(reinterpret_cast<const void*>(from + i), Write);
    }
}

/// The even or the odd elements of two vectors.
template <typename T, int Bytes>
inline typename Pack<T, Bytes>::Vec every_second(typename Pack<T, Bytes>::Vec low,
                                                 typename Pack<T, Bytes>::Vec high, int first) {
    return __builtin_shuffle(low, high, Pack<T, Bytes>::sequence(first, 2));
}

/// One tap of consecutive windows. Stride 0 stands for any. With stride 2 the first tap of a row
/// takes the even elements from its place on, the others the odd ones from one place before: so
/// the last element read is the last window's last tap.
template <typename T, int Bytes, int Stride>
inline typename Pack<T, Bytes>::Vec load_tap(const T* tap, index_t stride, bool first) {
    using P = Pack<T, Bytes>;
    if constexpr (Stride == 1) {
        return P::load(tap);
    } else if constexpr (Stride == 2) {
        if (!first) --tap;
        return every_second<T, Bytes>(P::load(tap), P::load(tap + P::lanes), first ? 0 : 1);
    } else {
        typename P::Vec value{};
        for (int i = 0; i < P::lanes; ++i) value[i] = tap[i * stride];
        return value;
    }
}

/// Rows of the block, from its first, over whose end whole vectors may run.
inline index_t free_rows(const PoolBlock& block, index_t lanes) {
    const index_t count = (block.count + lanes - 1) / lanes * lanes;
    const index_t taps = (block.taps_y - 1) * block.step_y + (block.taps_x - 1) * block.step_x;
    const index_t x_room = block.x_room - (count * block.stride + taps);
    const index_t y_room = block.y_room - count;
    if (x_room < 0 || y_room < 0) return 0;
    // Mostly all, and divisions take long.
    const index_t last = block.rows - 1;
    if (last * block.row_step <= x_room && last * block.y_step <= y_room) return block.rows;
    const index_t x_rows = x_room / block.row_step + 1, y_rows = y_room / block.y_step + 1;
    const index_t rows = x_rows < y_rows ? x_rows : y_rows;
    return rows < block.rows ? rows : block.rows;
}

/// The windows of the rows from `row` on, one by one: the last rows of an array, over whose end no
/// vector may run.
template <typename Body>
inline void careful_rows(const PoolBlock& block, index_t row, const Body& body) {
    for (; row < block.rows; ++row) {
        for (index_t i = 0; i < block.count; ++i) body.window(row, i);
    }
}

/// Two rows of windows with stride 2 in one vector, the second behind the `count` of the first.
template <typename T, int Bytes>
struct RowPair {
    using Int = typename Pack<T, Bytes>::Int;
    Int elements;  ///< of the two rows' vectors, end to end: those that the windows begin with
    Int starts;    ///< the windows' first elements, from the first row's

    explicit RowPair(const PoolBlock& block) {
        constexpr int lanes = Pack<T, Bytes>::lanes;
        const Int lane = Pack<T, Bytes>::sequence(0, 1);
        const Int second = lane - static_cast<Whole<T>>(block.count);
        elements = second < 0 ? 2 * lane : 2 * second + lanes;
        starts = second < 0 ? 2 * lane : 2 * second + static_cast<Whole<T>>(block.row_step);
    }
};

/// Whether the body takes rows of such windows in pairs, and a pair's results follow each other.
template <int Stride, int Taps, typename Body>
inline bool takes_pairs(const PoolBlock& block) {
    return Body::kKnowsStride2 && Stride == 2 && Taps != 0 && block.y_step == block.count;
}

/// Calls rows(free) for each plane, of which the tiles of the first `free` rows may run over the
/// end; the body moves on with it.
template <typename Body, typename Rows>
[[gnu::always_inline]] inline void for_planes(PoolBlock block, index_t lanes, Body& body,
                                              const Rows& rows) {
    for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
        rows(free_rows(block, lanes));
        block.x_room -= block.x_plane;
        block.y_room -= block.y_plane;
    }
}

/// Rows one by one. The arguments are values: nobody else can hold their addresses, so that they
/// stay in registers while results are stored.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
inline void for_rows(const PoolBlock block, Body body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    // Where windows overlap, each row brings `stride` new rows of taps; a wide stride skips some.
    const index_t taps = block.taps_y * block.step_y;
    const index_t ahead = taps < block.row_step ? taps : block.row_step;
    for_planes(block, lanes, body, [&](index_t free) {
        index_t row = 0;
        if constexpr (Body::kKnowsStride2 && Stride == 2 && Taps != 0) {
            if (block.taps_y == Taps) {
                body.template square_rows<Bytes, Taps>(free);
                row = free;
            }
        }
        for (; row < free; ++row) {
            for (index_t i = 0; i < block.count; i += lanes) {
                const T* x = body.x + row * block.row_step + i * block.stride;
                for (index_t k = 0; k < ahead; k += block.step_y) {
                    prefetch<0>(x + k, kReadAhead, Stride == 1 ? Bytes : 2 * Bytes);
                }
                body.prefetch_results(row * block.y_step + i, lanes);
                body.template tile<Bytes, Stride, Taps>(row, i);
            }
        }
        careful_rows(block, row, body);
    });
}

/// The same of short rows, two at a time. 64x8x8, 2x2, batch of 100, two cores: 0.25 ms by rows and
/// a call a plane, 0.062 so.
template <typename T, int Bytes, int Taps, typename Body>
[[gnu::noinline]] void for_row_pairs(const PoolBlock block, Body body) {
    const RowPair<T, Bytes> pair(block);
    for_planes(block, Pack<T, Bytes>::lanes, body, [&](index_t free) {
        index_t row = 0;
        for (; row + 2 <= free; row += 2) {
            prefetch<0>(body.x + row * block.row_step, kReadAhead,
                        2 * block.row_step * index_t{sizeof(T)});
            body.prefetch_results(row * block.y_step, 2 * block.count);
            body.template tile_pair<Bytes, Taps>(row, pair);
        }
        for (; row < free; ++row) body.template tile<Bytes, 2, Taps>(row, 0);
        careful_rows(block, row, body);
    });
}

/// Calls body.tile<Bytes, Stride, Taps>(row, window), body.tile_pair<Bytes, Taps>(row, pair) or
/// body.window(row, window), until they cover the block. Rows come in order, for tiles may write
/// over the start of the next row.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
inline void for_tiles(const PoolBlock& block, const Body& body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    const bool pairs = takes_pairs<Stride, Taps, Body>(block) && 2 * block.count <= lanes;
    if constexpr (Bytes > kLeastBytes) {
        if (block.count <= lanes / (pairs ? 4 : 2)) {
            return for_tiles<T, Bytes / 2, Stride, Taps>(block, body);
        }
    }
    if constexpr (Body::kKnowsStride2 && Stride == 2 && Taps != 0) {
        if (pairs) return for_row_pairs<T, Bytes, Taps>(block, body);
    }
    for_rows<T, Bytes, Stride, Taps>(block, body);
}

/// The common strides and kernel widths have loops of their own; Taps 0 stands for any width.
template <typename T, typename Body>
inline void for_tiles(const PoolBlock& block, Body body) {
    // Columns on an edge of the image, above all.
    if (block.count < Pack<T, kLeastBytes>::lanes && block.count < 3) {
        for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
            careful_rows(block, 0, body);
        }
        return;
    }
    const bool adjacent = block.step_x == 1;
    if (block.stride == 2 && block.taps_x == 2 && adjacent) {
        for_tiles<T, kVectorBytes, 2, 2>(block, body);
    } else if (block.stride == 2 && block.taps_x == 3 && adjacent) {
        for_tiles<T, kVectorBytes, 2, 3>(block, body);
    } else if (block.stride == 1 && block.taps_x == 3 && adjacent) {
        for_tiles<T, kVectorBytes, 1, 3>(block, body);
    } else if (block.stride == 2 && block.taps_x > 1) {
        for_tiles<T, kVectorBytes, 2, 0>(block, body);
    } else if (block.stride == 1) {
        for_tiles<T, kVectorBytes, 1, 0>(block, body);
    } else {
        for_tiles<T, kVectorBytes, 0, 0>(block, body);
    }
}

/// Values and their places, both in lanes.
template <typename T, int Bytes>
struct Maxima {
    typename Pack<T, Bytes>::Vec value;
    typename Pack<T, Bytes>::Int where;

    /// Takes what is as large, or NaN: whoever comes last in order of places must come first here.
    void take(const Maxima& other) {
        const auto wins = (other.value >= value) | (other.value != other.value);
        value = wins ? other.value : value;
        where = wins ? other.where : where;
    }
};

template <typename T, typename Place>
struct MaxPoolBlock {
    static constexpr bool kKnowsStride2 = true;  ///< has square_rows and tile_pair
    PoolBlock block;
    const T* x;
    index_t place;
    T* y;
    Place* argmax;

    void next_plane() {
        x += block.x_plane;
        y += block.y_plane;
        argmax += block.y_plane;
    }

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
        prefetch<1>(argmax + at, 2 * kWriteAhead, size * index_t{sizeof(Place)});
    }

    /// The maxima of one row of taps, from the last tap to the first, so that the first wins.
    template <int Bytes, int Taps, typename Load>
    [[gnu::always_inline]] Maxima<T, Bytes> row_maxima(index_t offset, const Load& load) const {
        using Int = typename Pack<T, Bytes>::Int;
        const index_t taps = Taps != 0 ? Taps : block.taps_x;
        const index_t step = Taps != 0 ? 1 : block.step_x;
        const auto tap = [&](index_t k) -> Maxima<T, Bytes> {
            return {load(offset + k * step, k == 0), Int{} + static_cast<Whole<T>>(k * step)};
        };
        Maxima<T, Bytes> best = tap(taps - 1);
#pragma GCC unroll 4
        for (index_t k = taps - 2; k >= 0; --k) best.take(tap(k));
        best.where += static_cast<Whole<T>>(offset);
        return best;
    }

    /// The maxima of windows of which load(offset, whether it is the first of its row) gives a tap.
    template <int Bytes, int Taps, typename Load>
    [[gnu::always_inline]] Maxima<T, Bytes> maxima(const Load& load) const {
        index_t offset = (block.taps_y - 1) * block.step_y;
        auto best = row_maxima<Bytes, Taps>(offset, load);
        while (offset > 0) {
            offset -= block.step_y;
            best.take(row_maxima<Bytes, Taps>(offset, load));
        }
        return best;
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const index_t first = row * block.row_step + window * block.stride;
        const T* from = x + first;
        const auto best = maxima<Bytes, Taps>([&](index_t offset, bool is_first) {
            return load_tap<T, Bytes, Stride>(from + offset, block.stride, is_first);
        });
        const index_t at = row * block.y_step + window;
        P::store(y + at, best.value);
        const auto step = static_cast<Whole<T>>(Stride != 0 ? Stride : block.stride);
        const auto start = P::sequence(0, 1) * step + static_cast<Whole<T>>(place + first);
        store_places<T, Bytes>(best.where + start, argmax + at);
    }

    /// The first `rows` rows of square windows with stride 2. In the general loop the bookkeeping
    /// takes longer than the pooling.
    template <int Bytes, int Taps>
    [[gnu::always_inline]] void square_rows(index_t rows) const {
        using P = Pack<T, Bytes>;
        const index_t width = block.step_y;
        const T* from = x;
        T* to = y;
        Place* to_argmax = argmax;
        auto first = static_cast<Whole<T>>(place);
        for (; rows > 0; --rows) {
            for (index_t i = 0; i < block.count; i += P::lanes) {
                const T* tap = from + 2 * i;
                prefetch<0>(tap, kReadAhead, 2 * Bytes);
                prefetch<0>(tap + width, kReadAhead, 2 * Bytes);
                prefetch<1>(to + i, kWriteAhead, Bytes);
                prefetch<1>(to_argmax + i, 2 * kWriteAhead, P::lanes * index_t{sizeof(Place)});
                const auto row = [&](index_t ky) {
                    return row_maxima<Bytes, Taps>(ky * width, [&](index_t at, bool is_first) {
                        return load_tap<T, Bytes, 2>(tap + at, 2, is_first);
                    });
                };
                auto best = row(Taps - 1);
#pragma GCC unroll 4
                for (index_t ky = Taps - 2; ky >= 0; --ky) best.take(row(ky));
                P::store(to + i, best.value);
                const auto start = P::sequence(0, 2) + (first + static_cast<Whole<T>>(2 * i));
                store_places<T, Bytes>(best.where + start, to_argmax + i);
            }
            from += block.row_step;
            first += static_cast<Whole<T>>(block.row_step);
            to += block.y_step;
            to_argmax += block.y_step;
        }
    }

    /// Rows `row` and `row` + 1; see load_tap for how taps are read.
    template <int Bytes, int Taps>
    [[gnu::always_inline]] void tile_pair(index_t row, const RowPair<T, Bytes>& pair) const {
        using P = Pack<T, Bytes>;
        const index_t first = row * block.row_step, at = row * block.y_step;
        const T* from = x + first;
        const auto best = maxima<Bytes, Taps>([&](index_t offset, bool is_first) {
            const T* tap = from + offset - (is_first ? 0 : 1);
            return __builtin_shuffle(P::load(tap), P::load(tap + block.row_step),
                                     is_first ? pair.elements : pair.elements + 1);
        });
        P::store(y + at, best.value);
        store_places<T, Bytes>(best.where + pair.starts + static_cast<Whole<T>>(place + first),
                               argmax + at);
    }

    [[gnu::always_inline]] void window(index_t row, index_t window) const {
        const index_t first = row * block.row_step + window * block.stride;
        T best = x[first];
        index_t where = first;
        for (index_t ky = 0; ky < block.taps_y; ++ky) {
            for (index_t kx = 0; kx < block.taps_x; ++kx) {
                const index_t at = first + ky * block.step_y + kx * block.step_x;
                // !(value <= best) is also true for NaN; a NaN that is already best stays.
                if (!(x[at] <= best) && best == best) {
                    best = x[at];
                    where = at;
                }
            }
        }
        y[row * block.y_step + window] = best;
        argmax[row * block.y_step + window] = static_cast<Place>(place + where);
    }
};

// Every way of averaging adds the taps of a column first and then the columns from left to right,
// so that all give the same bits.
template <typename T>
struct AveragePoolBlock {
    static constexpr bool kKnowsStride2 = false;
    PoolBlock block;
    const T* x;
    T divisor;
    T* y;

    void next_plane() {
        x += block.x_plane;
        y += block.y_plane;
    }

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
    }

    template <int Bytes>
    [[gnu::always_inline]] typename Pack<T, Bytes>::Vec column_sums(const T* from) const {
        return tap_sums<Bytes, 1>(from, false);
    }
    /// One tap of consecutive windows, added up over the rows.
    template <int Bytes, int Stride>
    [[gnu::always_inline]] typename Pack<T, Bytes>::Vec tap_sums(const T* from, bool first) const {
        auto sum = load_tap<T, Bytes, Stride>(from, block.stride, first);
        for (index_t ky = 1; ky < block.taps_y; ++ky) {
            sum += load_tap<T, Bytes, Stride>(from + ky * block.step_y, block.stride, first);
        }
        return sum;
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const T* from = x + row * block.row_step + window * block.stride;
        typename P::Vec sum;
        if constexpr (Stride == 2 && Taps != 0) {
            const auto low = column_sums<Bytes>(from), high = column_sums<Bytes>(from + P::lanes);
            sum = every_second<T, Bytes>(low, high, 0) + every_second<T, Bytes>(low, high, 1);
            if constexpr (Taps == 3) {
                sum += every_second<T, Bytes>(column_sums<Bytes>(from + 1),
                                              column_sums<Bytes>(from + 1 + P::lanes), 1);
            }
        } else {
            sum = tap_sums<Bytes, Stride>(from, true);
            const index_t taps = Taps != 0 ? Taps : block.taps_x;
#pragma GCC unroll 4
            for (index_t kx = 1; kx < taps; ++kx) sum += tap_sums<Bytes, Stride>(from + kx, false);
        }
        P::store(y + row * block.y_step + window, sum / divisor);
    }

    [[gnu::always_inline]] void window(index_t row, index_t window) const {
        const T* from = x + row * block.row_step + window * block.stride;
        T total = 0;
        for (index_t kx = 0; kx < block.taps_x; ++kx) {
            T column = from[kx];
            for (index_t ky = 1; ky < block.taps_y; ++ky) column += from[ky * block.step_y + kx];
            total = kx == 0 ? column : total + column;
        }
        y[row * block.y_step + window] = total / divisor;
    }
};
