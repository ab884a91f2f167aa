// Pooling of one row of windows, windows in the lanes, and its gradients. The caller clips rows of
// taps to the image and gives the windows that overhang its left or right edge one at a time, so
// nothing here checks bounds, and no element is read that no window sees.

// A vector of any width up to the instruction set's: output rows are often shorter than a vector.
template <typename T, int Bytes>
struct Pack {
    typedef T Vec __attribute__((vector_size(Bytes), may_alias));
    typedef T Loose __attribute__((vector_size(Bytes), may_alias, aligned(sizeof(T))));
    typedef Whole<T> Int __attribute__((vector_size(Bytes)));
    static constexpr int lanes = Bytes / int{sizeof(T)};

    static Vec load(const T* from) { return *reinterpret_cast<const Loose*>(from); }
    static void store(T* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }
    /// first, first + step, first + 2 step ...
    static Int sequence(int first, int step) {
        Int result;
        for (int i = 0; i < lanes; ++i) result[i] = first + i * step;
        return result;
    }
};

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

/// Calls body.tile<Bytes, Stride>(window) for vectors of windows that cover [0, count): vectors as
/// wide as the count allows, the last one overlapping its neighbour; body.window(window) for
/// counts below any vector.
template <typename T, int Bytes, int Stride, typename Body>
inline void for_tiles(index_t count, const Body& body) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    if (count >= lanes) {
        for (index_t i = 0; i + lanes <= count; i += lanes) body.template tile<Bytes, Stride>(i);
        if (count % lanes != 0) body.template tile<Bytes, Stride>(count - lanes);
    } else if constexpr (Bytes > kLeastBytes) {
        for_tiles<T, Bytes / 2, Stride>(count, body);
    } else {
        for (index_t i = 0; i < count; ++i) body.window(i);
    }
}

template <typename T, typename Body>
inline void for_tiles(const PoolRow& row, const Body& body) {
    if (row.stride == 1) {
        for_tiles<T, kVectorBytes, 1>(row.count, body);
    } else if (row.stride == 2 && row.taps_x > 1) {
        for_tiles<T, kVectorBytes, 2>(row.count, body);
    } else {
        for_tiles<T, kVectorBytes, 0>(row.count, body);
    }
}

template <typename T>
struct MaxPoolRow {
    const PoolRow& row;
    const T* x;
    index_t place;
    T* y;
    index_t* argmax;

    // From the last tap to the first: where a tap is as large as the best so far it wins, and so
    // does a NaN; hence the first maximum or the first NaN stays.
    template <int Bytes, int Stride>
    void tile(index_t window) const {
        using P = Pack<T, Bytes>;
        const T* from = x + window * row.stride;
        typename P::Vec best{};
        typename P::Int where{};
        bool any = false;
        for (index_t ky = row.taps_y - 1; ky >= 0; --ky) {
            for (index_t kx = row.taps_x - 1; kx >= 0; --kx) {
                const index_t offset = ky * row.step_y + kx * row.step_x;
                const typename P::Vec value =
                    load_tap<T, Bytes, Stride>(from + offset, row.stride, kx == 0);
                const typename P::Int here = typename P::Int{} + static_cast<Whole<T>>(offset);
                if (!any) {
                    best = value;
                    where = here;
                    any = true;
                    continue;
                }
                const auto wins = (value >= best) | (value != value);
                best = wins ? value : best;
                where = wins ? here : where;
            }
        }
        P::store(y + window, best);
        const index_t first = place + window * row.stride;
        for (int i = 0; i < P::lanes; ++i) {
            argmax[window + i] = first + i * row.stride + where[i];
        }
    }

    void window(index_t window) const {
        const T* from = x + window * row.stride;
        T best = from[0];
        index_t where = 0;
        for (index_t ky = 0; ky < row.taps_y; ++ky) {
            for (index_t kx = 0; kx < row.taps_x; ++kx) {
                const index_t offset = ky * row.step_y + kx * row.step_x;
                // !(value <= best) is also true for NaN; a NaN that is already best stays.
                if (!(from[offset] <= best) && best == best) {
                    best = from[offset];
                    where = offset;
                }
            }
        }
        y[window] = best;
        argmax[window] = place + window * row.stride + where;
    }
};

template <typename T>
void max_pool(const PoolRow& row, const T* x, index_t place, T* y, index_t* argmax) {
    const MaxPoolRow<T> body = {row, x, place, y, argmax};
    // Offsets inside a window are kept in lanes as wide as T.
    constexpr index_t most = index_t{1} << (8 * sizeof(T) - 2);
    if (row.taps_y < most / row.step_y && row.taps_x < most / row.step_x) {
        for_tiles<T>(row, body);
    } else {
        for (index_t i = 0; i < row.count; ++i) body.window(i);
    }
}

template <typename T>
struct AveragePoolRow {
    const PoolRow& row;
    const T* x;
    T divisor;
    T* y;

    template <int Bytes, int Stride>
    void tile(index_t window) const {
        using P = Pack<T, Bytes>;
        typename P::Vec sum{};
        for (index_t ky = 0; ky < row.taps_y; ++ky) {
            const T* from = x + window * row.stride + ky * row.step_y;
            for (index_t kx = 0; kx < row.taps_x; ++kx) {
                sum += load_tap<T, Bytes, Stride>(from + kx, row.stride, kx == 0);
            }
        }
        P::store(y + window, sum / divisor);
    }

    void window(index_t window) const {
        T total = 0;
        for (index_t ky = 0; ky < row.taps_y; ++ky) {
            const T* from = x + window * row.stride + ky * row.step_y;
            for (index_t kx = 0; kx < row.taps_x; ++kx) total += from[kx];
        }
        y[window] = total / divisor;
    }
};

template <typename T>
void average_pool(const PoolRow& row, const T* x, T divisor, T* y) {
    // One window as wide as the image, as in global pooling: a single run of elements.
    if (row.count == 1 && row.taps_x == row.step_y) {
        y[0] = static_cast<T>(sum(row.taps_y * row.taps_x, x) / static_cast<double>(divisor));
    } else {
        for_tiles<T>(row, AveragePoolRow<T>{row, x, divisor, y});
    }
}

template <typename T>
bool scatter_add(index_t size, const T* values, const index_t* places, index_t room, T* out) {
    // A block is checked as a whole, which vectorises, before it is used: its sign bits tell.
    constexpr index_t block = 512;
    for (index_t begin = 0; begin < size; begin += block) {
        const index_t end = begin + block < size ? begin + block : size;
        std::uint64_t signs = 0;
        for (index_t i = begin; i < end; ++i) {
            const auto place = static_cast<std::uint64_t>(places[i]);
            signs |= place | (static_cast<std::uint64_t>(room) - 1 - place);
        }
        if (signs >> 63 != 0) return false;
        for (index_t i = begin; i < end; ++i) out[places[i]] += values[i];
    }
    return true;
}

template <typename T>
void add_shares(index_t size, const T* values, T rows, const T* cols, T* shares) {
    for (index_t i = 0; i < size; ++i) shares[i] += values[i] / (rows * cols[i]);
}

/// The sum of the windows' shares at one element: `phase` is the element's place in window q.
template <typename T>
inline T sum_shares(const SpreadRow& row, const T* shares, index_t q, index_t phase) {
    T total = 0;
    for (; phase < row.taps; phase += row.stride) total += shares[q--];
    return total;
}

template <typename T, int Bytes>
inline index_t spread_dense(const SpreadRow& row, const T* shares, index_t x, T* out) {
    using P = Pack<T, Bytes>;
    for (; x + P::lanes <= row.size; x += P::lanes) {
        typename P::Vec total{};
        for (index_t k = 0; k < row.taps; ++k) total += P::load(shares + x + row.pad - k);
        P::store(out + x, total);
    }
    if constexpr (Bytes > kLeastBytes) x = spread_dense<T, Bytes / 2>(row, shares, x, out);
    return x;
}

/// Stride 2 from an element of phase 0 on: even and odd elements apart, then interleaved.
template <typename T, int Bytes>
inline index_t spread_by_two(const SpreadRow& row, const T* shares, index_t x, T* out) {
    using P = Pack<T, Bytes>;
    for (; x + 2 * P::lanes <= row.size; x += 2 * P::lanes) {
        const T* from = shares + (x + row.pad) / 2;
        typename P::Vec even{}, odd{};
        for (index_t phase = 0; phase < row.taps; phase += 2, --from) {
            const typename P::Vec value = P::load(from);
            even += value;
            if (phase + 1 < row.taps) odd += value;
        }
        typename P::Int low, high;
        for (int i = 0; i < P::lanes; ++i) {
            low[i] = i / 2 + i % 2 * P::lanes;
            high[i] = low[i] + P::lanes / 2;
        }
        P::store(out + x, __builtin_shuffle(even, odd, low));
        P::store(out + x + P::lanes, __builtin_shuffle(even, odd, high));
    }
    if constexpr (Bytes > kLeastBytes) x = spread_by_two<T, Bytes / 2>(row, shares, x, out);
    return x;
}

template <typename T>
void spread_row(const SpreadRow& row, const T* shares, T* out) {
    index_t x = 0, q = row.pad / row.stride, phase = row.pad % row.stride;
    const auto single = [&] {
        out[x++] = sum_shares(row, shares, q, phase);
        if (++phase == row.stride) {
            phase = 0;
            ++q;
        }
    };
    if (row.stride == 1) {
        x = spread_dense<T, kVectorBytes>(row, shares, x, out);
        q += x;
    } else if (row.stride == 2) {
        if (phase != 0) single();
        const index_t begin = x;
        x = spread_by_two<T, kVectorBytes>(row, shares, x, out);
        q += (x - begin) / 2;
    }
    while (x < row.size) single();
}
