// Pooling of blocks of windows, windows in the lanes. The caller clips taps to
// the image, so nothing here checks bounds. Rows are often shorter than a vector: then vectors run
// over the end of a row into the next one, whose results are written later, and only the last rows
// of an array are done with care.

/// Always index_t; in a vector's type GCC wants a name that depends on the template.
template <typename T>
using Place = typename Simd<T>::Place;

// A vector of any width up to the instruction set's: output rows are often shorter than a vector.
template <typename T, int Bytes>
struct Pack {
    typedef T Vec __attribute__((vector_size(Bytes), may_alias));
    typedef T Loose __attribute__((vector_size(Bytes), may_alias, aligned(sizeof(T))));
    typedef Whole<T> Int __attribute__((vector_size(Bytes)));
    typedef Whole<T> HalfInt __attribute__((vector_size(Bytes / 2), may_alias));
    typedef Place<T> Long __attribute__((vector_size(Bytes)));
    typedef Place<T> LooseLong __attribute__((vector_size(Bytes), may_alias, aligned(8)));
    static constexpr int lanes = Bytes / int{sizeof(T)};

    static Vec load(const T* from) { return *reinterpret_cast<const Loose*>(from); }
    static void store(T* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
    /// to[i] = first + i * step + offset[i]
    static void store_places(index_t first, index_t step, Int offset, index_t* to) {
        constexpr int longs = Bytes / 8;
        Long base;
        for (int i = 0; i < longs; ++i) base[i] = i;
        base = base * step + first;
        if constexpr (longs == lanes) {
            store_long(to, base + __builtin_convertvector(offset, Long));
        } else {
            const auto* halves = reinterpret_cast<const HalfInt*>(&offset);
            store_long(to, base + __builtin_convertvector(halves[0], Long));
            store_long(to + longs, base + longs * step + __builtin_convertvector(halves[1], Long));
        }
    }
    static void store_long(index_t* to, Long value) { *reinterpret_cast<LooseLong*>(to) = value; }
    /// first, first + step, first + 2 step ...
    static Int sequence(int first, int step) {
        Int result;
        for (int i = 0; i < lanes; ++i) result[i] = first + i * step;
        return result;
    }
};

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

/// Narrowest vector in use.
inline constexpr int kLeastBytes = 16;

/// One tap of consecutive windows. Stride 0 stands for any. With stride 2 the first tap of a row
/// takes the even elements from its place on, the others the odd ones from one place before: so
/// the last element read is the last window's last tap.
template <typename T, int Bytes, int Stride>
inline typename Pack<T, Bytes>::Vec load_tap(const T* tap, index_t stride, bool first) {
    using P = Pack<T, Bytes>;
    if constexpr (Stride == 1) {
        return P::load(tap);
    } else if constexpr (Stride == 2) {
        if (first) {
            return __builtin_shuffle(P::load(tap), P::load(tap + P::lanes), P::sequence(0, 2));
        }
        return __builtin_shuffle(P::load(tap - 1), P::load(tap - 1 + P::lanes), P::sequence(1, 2));
    } else {
        typename P::Vec value;
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
    const index_t x_rows = x_room / block.row_step + 1, y_rows = y_room / block.y_step + 1;
    const index_t rows = x_rows < y_rows ? x_rows : y_rows;
    return rows < block.rows ? rows : block.rows;
}

/// Tiles of one row that stay inside it: vectors as wide as the count allows, the last one
/// overlapping its neighbour; windows one by one where they are fewer than any vector's. A body is
/// passed by value here and below: nobody else can hold its address, so that its members stay in
/// registers while results are stored.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
[[gnu::noinline]] void careful_row(index_t row, index_t count, Body body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    if (count >= lanes) {
        for (index_t i = 0; i + lanes <= count; i += lanes) {
            body.template tile<Bytes, Stride, Taps>(row, i);
        }
        if (count % lanes != 0) body.template tile<Bytes, Stride, Taps>(row, count - lanes);
    } else if constexpr (Bytes > kLeastBytes) {
        careful_row<T, Bytes / 2, Stride, Taps>(row, count, body);
    } else {
        for (index_t i = 0; i < count; ++i) body.window(row, i);
    }
}

/// Calls body.tile<Bytes, Stride, Taps>(row, window), or body.window(row, window), until they
/// cover the block. Rows come in order, for tiles may write over the start of the next row.
template <typename T, int Bytes, int Stride, int Taps, typename Body>
inline void for_tiles(const PoolBlock block, const Body body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    if constexpr (Bytes > kLeastBytes) {
        if (block.count <= lanes / 2) return for_tiles<T, Bytes / 2, Stride, Taps>(block, body);
    }
    const index_t free = free_rows(block, lanes);
    // Where windows overlap, each row brings `stride` new rows of taps; a wide stride skips some.
    const index_t taps = block.taps_y * block.step_y;
    const index_t ahead = taps < block.row_step ? taps : block.row_step;
    for (index_t row = 0; row < free; ++row) {
        for (index_t i = 0; i < block.count; i += lanes) {
            const T* x = body.x + row * block.row_step + i * block.stride;
            for (index_t k = 0; k < ahead; k += block.step_y) {
                prefetch<0>(x + k, kReadAhead, Stride == 1 ? Bytes : 2 * Bytes);
            }
            body.prefetch_results(row * block.y_step + i, lanes);
            body.template tile<Bytes, Stride, Taps>(row, i);
        }
    }
    for (index_t row = free; row < block.rows; ++row) {
        careful_row<T, Bytes, Stride, Taps>(row, block.count, body);
    }
}

/// The common strides and kernel widths have loops of their own; Taps 0 stands for any width.
template <typename T, typename Body>
inline void for_tiles(const PoolBlock& block, const Body& body) {
    // Columns on an edge of the image, above all.
    if (block.count < Pack<T, kLeastBytes>::lanes && block.count < 3) {
        for (index_t row = 0; row < block.rows; ++row) {
            for (index_t i = 0; i < block.count; ++i) body.window(row, i);
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

template <typename T>
struct MaxPoolBlock {
    PoolBlock block;
    const T* x;
    index_t place;
    T* y;
    index_t* argmax;

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
        prefetch<1>(argmax + at, 2 * kWriteAhead, size * index_t{sizeof(index_t)});
    }

    /// The maxima of one row of taps, from the last tap to the first, so that the first wins.
    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] Maxima<T, Bytes> row_maxima(const T* from) const {
        using Int = typename Pack<T, Bytes>::Int;
        const index_t taps = Taps != 0 ? Taps : block.taps_x;
        const index_t step = Taps != 0 ? 1 : block.step_x;
        const auto tap = [&](index_t k) -> Maxima<T, Bytes> {
            return {load_tap<T, Bytes, Stride>(from + k * step, block.stride, k == 0),
                    Int{} + static_cast<Whole<T>>(k * step)};
        };
        Maxima<T, Bytes> best = tap(taps - 1);
#pragma GCC unroll 4
        for (index_t k = taps - 2; k >= 0; --k) best.take(tap(k));
        return best;
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const index_t first = row * block.row_step + window * block.stride;
        index_t offset = (block.taps_y - 1) * block.step_y;
        auto best = row_maxima<Bytes, Stride, Taps>(x + first + offset);
        best.where += static_cast<Whole<T>>(offset);
        while (offset > 0) {
            offset -= block.step_y;
            auto other = row_maxima<Bytes, Stride, Taps>(x + first + offset);
            other.where += static_cast<Whole<T>>(offset);
            best.take(other);
        }
        const index_t at = row * block.y_step + window;
        P::store(y + at, best.value);
        const index_t stride = Stride != 0 ? Stride : block.stride;
        P::store_places(place + first, stride, best.where, argmax + at);
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
        argmax[row * block.y_step + window] = place + where;
    }
};

template <typename T>
void max_pool(const PoolBlock& block, const T* x, index_t place, T* y, index_t* argmax) {
    const MaxPoolBlock<T> body = {block, x, place, y, argmax};
    // Offsets inside a window are kept in lanes as wide as T.
    constexpr index_t most = index_t{1} << (8 * sizeof(T) - 2);
    if (block.taps_y < most / block.step_y && block.taps_x < most / block.step_x) {
        for_tiles<T>(block, body);
        return;
    }
    for (index_t row = 0; row < block.rows; ++row) {
        for (index_t i = 0; i < block.count; ++i) body.window(row, i);
    }
}

template <typename T>
struct AveragePoolBlock {
    PoolBlock block;
    const T* x;
    T divisor;
    T* y;

    [[gnu::always_inline]] void prefetch_results(index_t at, index_t size) const {
        prefetch<1>(y + at, kWriteAhead, size * index_t{sizeof(T)});
    }

    template <int Bytes, int Stride, int Taps>
    [[gnu::always_inline]] void tile(index_t row, index_t window) const {
        using P = Pack<T, Bytes>;
        const index_t taps = Taps != 0 ? Taps : block.taps_x;
        const T* from = x + row * block.row_step + window * block.stride;
        typename P::Vec sum{};
        for (index_t ky = 0; ky < block.taps_y; ++ky, from += block.step_y) {
#pragma GCC unroll 4
            for (index_t kx = 0; kx < taps; ++kx) {
                sum += load_tap<T, Bytes, Stride>(from + kx, block.stride, kx == 0);
            }
        }
        P::store(y + row * block.y_step + window, sum / divisor);
    }

    [[gnu::always_inline]] void window(index_t row, index_t window) const {
        const T* from = x + row * block.row_step + window * block.stride;
        T total = 0;
        for (index_t ky = 0; ky < block.taps_y; ++ky, from += block.step_y) {
            for (index_t kx = 0; kx < block.taps_x; ++kx) total += from[kx];
        }
        y[row * block.y_step + window] = total / divisor;
    }
};

template <typename T>
void average_pool(const PoolBlock& block, const T* x, T divisor, T* y) {
    // One window as wide as the image, as in global pooling: a single run of elements.
    if (block.rows == 1 && block.count == 1 && block.taps_x == block.step_y) {
        y[0] = static_cast<T>(sum(block.taps_y * block.taps_x, x) / static_cast<double>(divisor));
    } else {
        for_tiles<T>(block, AveragePoolBlock<T>{block, x, divisor, y});
    }
}
