// Products of a few rows with a large matrix that is read once, where it stands: packing it, as
// the blocked product does, would move it twice more.

/// One tile of dot products: Rows rows of x with Cols rows of w, partial sums in the lanes.
template <typename T, int Rows, int Cols>
inline void dot_tile(index_t depth, const T* x, const T* w, const T* bias, T* y, index_t y_stride) {
    Vec<T> sums[Rows][Cols] = {};
    index_t k = 0;
    for (; k + kLanes<T> <= depth; k += kLanes<T>) {
        Vec<T> right[Cols];
#pragma GCC unroll 4
        for (int c = 0; c < Cols; ++c) right[c] = load(w + c * depth + k);
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
            const Vec<T> left = load(x + r * depth + k);
#pragma GCC unroll 4
            for (int c = 0; c < Cols; ++c) sums[r][c] += left * right[c];
        }
    }
    for (int r = 0; r < Rows; ++r) {
        for (int c = 0; c < Cols; ++c) {
            T total = bias != nullptr ? bias[c] : T{0};
            for (index_t i = k; i < depth; ++i) total += x[r * depth + i] * w[c * depth + i];
            for (int lane = 0; lane < kLanes<T>; ++lane) total += sums[r][c][lane];
            y[r * y_stride + c] = total;
        }
    }
}

template <typename T, int Rows>
inline void dot_rows(index_t cols, index_t depth, const T* x, const T* w, const T* bias, T* y,
                     index_t y_stride) {
    index_t c = 0;
    const auto at = [&](index_t col) { return bias != nullptr ? bias + col : nullptr; };
    for (; c + 2 <= cols; c += 2) {
        dot_tile<T, Rows, 2>(depth, x, w + c * depth, at(c), y + c, y_stride);
    }
    if (c < cols) dot_tile<T, Rows, 1>(depth, x, w + c * depth, at(c), y + c, y_stride);
}

template <typename T>
void few_rows_dots(index_t rows, index_t cols, index_t depth, const T* x, const T* w, const T* bias,
                   T* y, index_t y_stride) {
    for (; rows >= 4; rows -= 4, x += 4 * depth, y += 4 * y_stride) {
        dot_rows<T, 4>(cols, depth, x, w, bias, y, y_stride);
    }
    if (rows == 3) dot_rows<T, 3>(cols, depth, x, w, bias, y, y_stride);
    if (rows == 2) dot_rows<T, 2>(cols, depth, x, w, bias, y, y_stride);
    if (rows == 1) dot_rows<T, 1>(cols, depth, x, w, bias, y, y_stride);
}

template <typename T>
void few_rows_sums(index_t rows, index_t cols, index_t depth, const T* x, const T* w,
                   index_t stride, T* y) {
    for (index_t r = 0; r < rows; ++r) {
        for (index_t c = 0; c < cols; ++c) y[r * stride + c] = 0;
    }
    // Four rows of w at a time, so that results are loaded and stored less often than w is.
    index_t k = 0;
    for (; k + 4 <= depth; k += 4, w += 4 * stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T* f = x + r * depth + k;
            const T f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
            T* out = y + r * stride;
            for (index_t c = 0; c < cols; ++c) {
                out[c] += (f0 * w[c] + f1 * w[stride + c]) +
                          (f2 * w[2 * stride + c] + f3 * w[3 * stride + c]);
            }
        }
    }
    for (; k < depth; ++k, w += stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T f = x[r * depth + k];
            for (index_t c = 0; c < cols; ++c) y[r * stride + c] += f * w[c];
        }
    }
}
