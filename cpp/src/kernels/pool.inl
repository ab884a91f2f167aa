// Pooling of blocks of windows, windows in the lanes, and its gradients. The caller clips taps to
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
    for (index_t row = 0; row < free; ++row) {
        for (index_t i = 0; i < block.count; i += lanes) {
            const T* x = body.x + row * block.row_step + i * block.stride;
            for (index_t k = 0; k < block.row_step; k += block.step_y) {
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

template <typename T>
bool scatter(index_t size, const T* values, const index_t* places, index_t out_size, T* out) {
    constexpr index_t lanes = kLanes<T>, chunk = 8 * lanes;
    index_t i = 0;
    for (; i + chunk <= out_size; i += chunk) {
        prefetch<1>(out + i, kReadAhead, chunk * index_t{sizeof(T)});
        for (index_t k = 0; k < chunk; k += lanes) store(out + i + k, Vec<T>{});
    }
    for (; i < out_size; ++i) out[i] = 0;
    // A block is checked as a whole, which vectorises, before it is used: its sign bits tell.
    constexpr index_t block = 256;
    for (index_t begin = 0; begin < size; begin += block) {
        const index_t end = begin + block < size ? begin + block : size;
        prefetch<0>(values + begin, kReadAhead, (end - begin) * index_t{sizeof(T)});
        prefetch<0>(places + begin, kReadAhead, (end - begin) * index_t{sizeof(index_t)});
        std::uint64_t signs = 0;
        for (i = begin; i < end; ++i) {
            const auto place = static_cast<std::uint64_t>(places[i]);
            signs |= place | (static_cast<std::uint64_t>(out_size) - 1 - place);
        }
        if (signs >> 63 != 0) return false;
        for (i = begin; i < end; ++i) out[places[i]] += values[i];
    }
    return true;
}

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
        const bool free = (row + 1) * plane.cols + kPackSlack <= plane.dx_room;
        prefetch<1>(dx, kReadAhead, plane.cols * index_t{sizeof(T)});
        spread_row<T, Stride, Taps>(plane, free, plane.shares, dx);
    }
}

template <typename T>
void average_pool_grad(const AveragePlane<T>& plane, const T* dy, T* dx) {
    if (plane.stride_x == 2 && plane.taps_x == 2) {
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
