// Convolution of few channels or filters without a matrix product: the vectors' lanes are pixels
// of a padded image, flattened over its rows, so that every tap of the window is one shifted load
// from where the image lies anyway. Positions between two rows are computed and thrown away.

// Filters of one call, and the vectors of pixels that go with them: as many accumulators as the
// registers hold beside the operands.
inline constexpr int kDirectRows = kVectorRegisters >= 32 ? 8 : 4;

constexpr int direct_vectors(int rows) {
    constexpr int wide[] = {8, 8, 6, 6, 5, 4, 3, 3}, narrow[] = {8, 6, 4, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

template <typename T, int rows, int vectors>
inline void correlate_tile(index_t taps, const index_t* offsets, const T* weights, const T* source,
                           T* out, index_t out_stride) {
    Vec<T> sum[rows][vectors] = {};
    for (index_t k = 0; k < taps; ++k) {
        const T* from = source + offsets[k];
        Vec<T> x[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) x[v] = load(from + v * kLanes<T>);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vec<T> w = splat(weights[r]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) sum[r][v] += w * x[v];
        }
        weights += rows;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) store(out + r * out_stride + v * kLanes<T>, sum[r][v]);
    }
}

// The tile of `vectors` or fewer vectors that ends a row.
template <typename T, int rows, int vectors>
inline void correlate_end(int count, index_t taps, const index_t* offsets, const T* weights,
                          const T* source, T* out, index_t out_stride) {
    if constexpr (vectors > 0) {
        if (count == vectors) {
            correlate_tile<T, rows, vectors>(taps, offsets, weights, source, out, out_stride);
        } else {
            correlate_end<T, rows, vectors - 1>(count, taps, offsets, weights, source, out,
                                                out_stride);
        }
    }
}

template <typename T, int rows>
void correlate_rows(index_t pixels, index_t taps, const index_t* offsets, const T* weights,
                    const T* source, T* out, index_t out_stride) {
    constexpr int vectors = direct_vectors(rows);
    constexpr index_t width = vectors * kLanes<T>;
    index_t p = 0;
    for (; p + width <= pixels; p += width) {
        correlate_tile<T, rows, vectors>(taps, offsets, weights, source + p, out + p, out_stride);
    }
    const int rest = static_cast<int>(ceil_div(pixels - p, kLanes<T>));
    correlate_end<T, rows, vectors>(rest, taps, offsets, weights, source + p, out + p, out_stride);
}

template <typename T>
void correlate(index_t rows, index_t pixels, index_t taps, const index_t* offsets, const T* weights,
               const T* source, T* out, index_t out_stride) {
    using Rows = void (*)(index_t, index_t, const index_t*, const T*, const T*, T*, index_t);
    if constexpr (kDirectRows == 8) {
        constexpr Rows kernels[] = {
            correlate_rows<T, 1>, correlate_rows<T, 2>, correlate_rows<T, 3>, correlate_rows<T, 4>,
            correlate_rows<T, 5>, correlate_rows<T, 6>, correlate_rows<T, 7>, correlate_rows<T, 8>};
        kernels[rows - 1](pixels, taps, offsets, weights, source, out, out_stride);
    } else {
        constexpr Rows kernels[] = {correlate_rows<T, 1>, correlate_rows<T, 2>,
                                    correlate_rows<T, 3>, correlate_rows<T, 4>};
        kernels[rows - 1](pixels, taps, offsets, weights, source, out, out_stride);
    }
}

// The gradient of the weights, lane by lane: rows of dy times shifted rows of the image.
inline constexpr int kDirectGradRows = kVectorRegisters >= 32 ? 5 : 4;

constexpr int direct_grad_taps(int rows) {
    constexpr int wide[] = {10, 9, 6, 5, 5}, narrow[] = {10, 6, 4, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

template <typename T, int rows, int taps>
inline void correlate_grad_tile(index_t pixels, const T* dy, index_t dy_stride,
                                const index_t* offsets, const T* source, T* sums,
                                index_t sums_stride) {
    Vec<T> sum[rows][taps];
    const T* from[taps];
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
        from[t] = source + offsets[t];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) sum[r][t] = load(sums + r * sums_stride + t * kLanes<T>);
    }
    for (index_t p = 0; p < pixels; p += kLanes<T>) {
        Vec<T> d[rows];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) d[r] = load(dy + r * dy_stride + p);
#pragma GCC unroll 16
        for (int t = 0; t < taps; ++t) {
            const Vec<T> x = load(from[t] + p);
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) sum[r][t] += d[r] * x;
        }
    }
#pragma GCC unroll 16
    for (int t = 0; t < taps; ++t) {
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) store(sums + r * sums_stride + t * kLanes<T>, sum[r][t]);
    }
}

// The tile of `limit` or fewer taps.
template <typename T, int rows, int limit>
inline void correlate_grad_taps(int taps, index_t pixels, const T* dy, index_t dy_stride,
                                const index_t* offsets, const T* source, T* sums,
                                index_t sums_stride) {
    if constexpr (limit > 0) {
        if (taps == limit) {
            correlate_grad_tile<T, rows, limit>(pixels, dy, dy_stride, offsets, source, sums,
                                                sums_stride);
        } else {
            correlate_grad_taps<T, rows, limit - 1>(taps, pixels, dy, dy_stride, offsets, source,
                                                    sums, sums_stride);
        }
    }
}

// All taps, in parts of nearly equal size.
template <typename T, int rows>
void correlate_grad_rows(index_t pixels, index_t taps, const T* dy, index_t dy_stride,
                         const index_t* offsets, const T* source, T* sums) {
    constexpr int limit = direct_grad_taps(rows);
    const index_t parts = ceil_div(taps, limit);
    for (index_t part = 0; part < parts; ++part) {
        const index_t tap = part * taps / parts, end = (part + 1) * taps / parts;
        correlate_grad_taps<T, rows, limit>(static_cast<int>(end - tap), pixels, dy, dy_stride,
                                            offsets + tap, source, sums + tap * kLanes<T>,
                                            taps * kLanes<T>);
    }
}

template <typename T>
void correlate_grad(index_t rows, index_t pixels, index_t taps, const T* dy, index_t dy_stride,
                    const index_t* offsets, const T* source, T* sums) {
    using Rows = void (*)(index_t, index_t, const T*, index_t, const index_t*, const T*, T*);
    if constexpr (kDirectGradRows == 5) {
        constexpr Rows kernels[] = {correlate_grad_rows<T, 1>, correlate_grad_rows<T, 2>,
                                    correlate_grad_rows<T, 3>, correlate_grad_rows<T, 4>,
                                    correlate_grad_rows<T, 5>};
        kernels[rows - 1](pixels, taps, dy, dy_stride, offsets, source, sums);
    } else {
        constexpr Rows kernels[] = {correlate_grad_rows<T, 1>, correlate_grad_rows<T, 2>,
                                    correlate_grad_rows<T, 3>, correlate_grad_rows<T, 4>};
        kernels[rows - 1](pixels, taps, dy, dy_stride, offsets, source, sums);
    }
}

template <typename T>
void fold_lanes(index_t size, const T* sums, T* to) {
    for (index_t i = 0; i < size; ++i, sums += kLanes<T>) {
        T lanes[kLanes<T>];
        for (int lane = 0; lane < kLanes<T>; ++lane) lanes[lane] = sums[lane];
#pragma GCC unroll 4
        for (int half = kLanes<T> / 2; half > 0; half /= 2) {
            for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
        }
        to[i] = lanes[0];
    }
}
