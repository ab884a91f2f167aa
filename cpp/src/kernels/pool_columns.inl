// Pooling of windows that are large or far apart, column by column: first the taps of each column,
// columns in the lanes, then the columns of each window. And pooling's entries, which choose.

/// Columns that are taken together.
inline constexpr index_t kPoolColumns = 512;

/// Whether a window has enough taps for two steps; its columns must be adjacent and must fit.
inline bool is_large(const PoolBlock& block) {
    constexpr index_t enough = 16;
    return block.step_x == 1 && block.taps_y > 1 && block.taps_x <= kPoolColumns / 2 &&
           (block.taps_y * block.taps_x >= enough || block.stride > 2);
}

/// Calls f<Bytes>(first column) for vectors that cover `count` columns, the last of them
/// overlapping, and single(column) where there are fewer than in any vector.
template <typename T, int Bytes, typename F, typename Single>
[[gnu::always_inline]] inline void for_columns(index_t count, const F& f, const Single& single) {
    constexpr index_t lanes = Pack<T, Bytes>::lanes;
    if (count >= lanes) {
        for (index_t i = 0; i + lanes <= count; i += lanes) f.template operator()<Bytes>(i);
        if (count % lanes != 0) f.template operator()<Bytes>(count - lanes);
    } else if constexpr (Bytes > kLeastBytes) {
        for_columns<T, Bytes / 2>(count, f, single);
    } else {
        for (index_t i = 0; i < count; ++i) single(i);
    }
}

/// Calls body(plane, row, first window, windows, columns) for parts of rows whose columns fit
/// together.
template <typename Body>
inline void for_parts(const PoolBlock& block, const Body& body) {
    const index_t most = (kPoolColumns - block.taps_x) / block.stride + 1;
    for (index_t plane = 0; plane < block.planes; ++plane) {
        for (index_t row = 0; row < block.rows; ++row) {
            for (index_t first = 0; first < block.count; first += most) {
                const index_t left = block.count - first, windows = left < most ? left : most;
                body(plane, row, first, windows, (windows - 1) * block.stride + block.taps_x);
            }
        }
    }
}

/// Elements that are added up in a row; of more, such sums are: errors grow with the additions that
/// follow each other.
inline constexpr index_t kAverageRun = 64;

/// element(0) + element(1) + ..., in runs if there are many.
template <bool many, typename Element>
[[gnu::always_inline]] inline auto sum_of_elements(index_t count, const Element& element) {
    auto total = element(0);
    if constexpr (!many) {
        for (index_t k = 1; k < count; ++k) total += element(k);
        return total;
    }
    for (index_t begin = 0; begin < count; begin += kAverageRun) {
        const index_t end = count - begin < kAverageRun ? count : begin + kAverageRun;
        auto part = element(begin);
        for (index_t k = begin + 1; k < end; ++k) part += element(k);
        total = begin == 0 ? part : total + part;
    }
    return total;
}

template <typename T, bool many>
[[gnu::noinline]] void average_pool_by_columns(const PoolBlock block, const T* x, T divisor, T* y) {
    T sums[kPoolColumns];
    for_parts(
        block, [&](index_t plane, index_t row, index_t first, index_t windows, index_t columns) {
            const T* from = x + plane * block.x_plane + row * block.row_step + first * block.stride;
            for_columns<T, kVectorBytes>(
                columns,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    P::store(sums + i, sum_of_elements<many>(block.taps_y, [&](index_t k) {
                                 prefetch<0>(from + i + k * block.step_y, kReadAhead, Bytes);
                                 return P::load(from + i + k * block.step_y);
                             }));
                },
                [&](index_t i) {
                    sums[i] = sum_of_elements<many>(
                        block.taps_y, [&](index_t k) { return from[i + k * block.step_y]; });
                });
            T* to = y + plane * block.y_plane + row * block.y_step + first;
            const auto single = [&](index_t i) {
                const T* columns = sums + i * block.stride;
                to[i] = sum_of_elements<many>(block.taps_x, [&](index_t k) { return columns[k]; }) /
                        divisor;
            };
            if (block.stride > 1) {
                for (index_t i = 0; i < windows; ++i) single(i);
                return;
            }
            for_columns<T, kVectorBytes>(
                windows,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    const auto total = sum_of_elements<many>(
                        block.taps_x, [&](index_t k) { return P::load(sums + i + k); });
                    P::store(to + i, total / divisor);
                },
                single);
        });
}

/// The first maximum of each column and its offset from the column's first tap.
template <typename T>
inline void column_maxima(const PoolBlock& block, index_t columns, const T* from, T* values,
                          Whole<T>* places) {
    const index_t last = (block.taps_y - 1) * block.step_y;
    for_columns<T, kVectorBytes>(
        columns,
        [&]<int Bytes>(index_t i) {
            using P = Pack<T, Bytes>;
            const auto tap = [&](index_t offset) -> Maxima<T, Bytes> {
                return {P::load(from + i + offset),
                        typename P::Int{} + static_cast<Whole<T>>(offset)};
            };
            Maxima<T, Bytes> best = tap(last);
            for (index_t k = last - block.step_y; k >= 0; k -= block.step_y) best.take(tap(k));
            P::store(values + i, best.value);
            P::store_whole(places + i, best.where);
        },
        [&](index_t i) {
            values[i] = from[i];
            places[i] = 0;
            for (index_t k = block.step_y; k <= last; k += block.step_y) {
                if (!(from[i + k] <= values[i]) && values[i] == values[i]) {
                    values[i] = from[i + k];
                    places[i] = static_cast<Whole<T>>(k);
                }
            }
        });
}

template <typename T, typename Place>
[[gnu::noinline]] void max_pool_by_columns(const PoolBlock block, const T* x, index_t place, T* y,
                                           Place* argmax) {
    T values[kPoolColumns];
    Whole<T> places[kPoolColumns];
    for_parts(
        block, [&](index_t plane, index_t row, index_t first, index_t windows, index_t columns) {
            const index_t start = row * block.row_step + first * block.stride;
            column_maxima<T>(block, columns, x + plane * block.x_plane + start, values, places);
            const index_t at = plane * block.y_plane + row * block.y_step + first;
            const auto single = [&](index_t i) {
                T best = values[i];
                Whole<T> where = places[i];
                for (index_t k = 1; k < block.taps_x; ++k) {
                    const T value = values[i + k];
                    const Whole<T> other = places[i + k] + static_cast<Whole<T>>(k);
                    const bool is_nan = value != value, best_is_nan = best != best;
                    const bool alike = (value == best) | (is_nan & best_is_nan);
                    const bool better =
                        (value > best) | (is_nan & !best_is_nan) | (alike & (other < where));
                    best = better ? value : best;
                    where = better ? other : where;
                }
                y[at + i] = best;
                argmax[at + i] = static_cast<Place>(place + start + i + where);
            };
            for_columns<T, kVectorBytes>(
                windows,
                [&]<int Bytes>(index_t i) {
                    using P = Pack<T, Bytes>;
                    auto best = P::load(values + i);
                    auto where = P::load_whole(places + i);
                    for (index_t k = 1; k < block.taps_x; ++k) {
                        const auto value = P::load(values + i + k);
                        const auto other = P::load_whole(places + i + k) + static_cast<Whole<T>>(k);
                        const auto is_nan = value != value, best_is_nan = best != best;
                        const auto alike = (value == best) | (is_nan & best_is_nan);
                        const auto better =
                            (value > best) | (is_nan & ~best_is_nan) | (alike & (other < where));
                        best = better ? value : best;
                        where = better ? other : where;
                    }
                    P::store(y + at + i, best);
                    const auto first = static_cast<Whole<T>>(place + start + i);
                    store_places<T, Bytes>(where + P::sequence(0, 1) + first, argmax + at + i);
                },
                single);
        });
}

template <typename T, typename Place>
void max_pool(const PoolBlock& block, const T* x, index_t place, T* y, Place* argmax) {
    MaxPoolBlock<T, Place> body = {block, x, place, y, argmax};
    // Places are kept in lanes as wide as T; those of windows behind the last count too.
    constexpr index_t most = index_t{1} << (8 * sizeof(T) - 2);
    if (block.x_plane < most && block.stride < most / kPackSlack) {
        // Far windows one by one, with a branch for each tap, would be slower than gathered tiles.
        if (block.stride == 1 && is_large(block)) {
            max_pool_by_columns(block, x, place, y, argmax);
        } else {
            for_tiles<T>(block, body);
        }
        return;
    }
    for (index_t plane = 0; plane < block.planes; ++plane, body.next_plane()) {
        careful_rows(block, 0, body);
    }
}

/// The sum of elements that follow each other, few enough for sums of T.
template <typename T>
inline T sum_few(index_t size, const T* x) {
    constexpr index_t lanes = kLanes<T>;
    T total = 0;
    if (size < lanes) {
        for (index_t i = 0; i < size; ++i) total += x[i];
        return total;
    }
    Vec<T> sums = load(x);
    for (index_t i = lanes; i + lanes <= size; i += lanes) sums += load(x + i);
    // The last vector's elements that have not been added yet.
    const auto is_new =
        Pack<T, kVectorBytes>::sequence(0, 1) >= static_cast<Whole<T>>(lanes - size % lanes);
    sums += is_new ? load(x + size - lanes) : Vec<T>{};
    return sum_of_lanes<T, kVectorBytes>(sums);
}

template <typename T>
void average_planes(index_t planes, index_t size, const T* x, T divisor, T* y) {
    constexpr index_t few = 256;
    for (index_t p = 0; p < planes; ++p, x += size) {
        y[p] = size <= few ? sum_few(size, x) / divisor
                           : static_cast<T>(sum(size, x) / static_cast<double>(divisor));
    }
}

/// Windows whose rows are so long that each is worth a sum of its own.
template <typename T>
[[gnu::noinline]] void average_pool_by_rows(const PoolBlock block, const T* x, T divisor, T* y) {
    for (index_t plane = 0; plane < block.planes; ++plane) {
        for (index_t row = 0; row < block.rows; ++row) {
            for (index_t i = 0; i < block.count; ++i) {
                const T* from = x + plane * block.x_plane + row * block.row_step + i * block.stride;
                double total = 0;
                for (index_t k = 0; k < block.taps_y; ++k) {
                    total += sum(block.taps_x, from + k * block.step_y);
                }
                y[plane * block.y_plane + row * block.y_step + i] =
                    static_cast<T>(total / static_cast<double>(divisor));
            }
        }
    }
}

template <typename T>
void average_pool(const PoolBlock& block, const T* x, T divisor, T* y) {
    if (block.taps_x > kPoolColumns / 2) {
        average_pool_by_rows(block, x, divisor, y);
    } else if (is_large(block) && (block.taps_y > kAverageRun || block.taps_x > kAverageRun)) {
        average_pool_by_columns<T, true>(block, x, divisor, y);
    } else if (is_large(block)) {
        average_pool_by_columns<T, false>(block, x, divisor, y);
    } else {
        for_tiles<T>(block, AveragePoolBlock<T>{block, x, divisor, y});
    }
}
