// Dot products of rows with rows, both read where they stand: what y = x * transpose(w) needs.
// Packing them, as the blocked product does, would move the weights twice more.

// Rows and columns of a tile: as many accumulators as the registers hold beside the operands.
inline constexpr int kDotRows = kVectorRegisters >= 32 ? 5 : 4;
constexpr int dot_cols(int rows) {
    constexpr int wide[] = {8, 8, 7, 6, 5}, narrow[] = {6, 5, 3, 3};
    return kVectorRegisters >= 32 ? wide[rows - 1] : narrow[rows - 1];
}

// The sum of the lanes, half by half.
template <typename T, int Bytes>
inline T sum_lanes(const typename Pack<T, Bytes>::Vec& lanes) {
    if constexpr (Pack<T, Bytes>::lanes == 2) {
        return lanes[0] + lanes[1];
    } else {
        typename Pack<T, Bytes / 2>::Vec halves[2];
        __builtin_memcpy(halves, &lanes, sizeof(halves));
        return sum_lanes<T, Bytes / 2>(halves[0] + halves[1]);
    }
}

template <typename T, int rows, int cols>
inline void dot_tile(const DotBlock& block, const T* x, const T* w, T* y) {
    Vec<T> sum[rows][cols] = {};
    index_t k = 0;
    for (; k + kLanes<T> <= block.depth; k += kLanes<T>) {
        Vec<T> right[cols];
#pragma GCC unroll 8
        for (int c = 0; c < cols; ++c) right[c] = load(w + c * block.w_stride + k);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vec<T> left = load(x + r * block.x_stride + k);
#pragma GCC unroll 8
            for (int c = 0; c < cols; ++c) sum[r][c] += left * right[c];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (int c = 0; c < cols; ++c) {
            T total = sum_lanes<T, kVectorBytes>(sum[r][c]);
            for (index_t i = k; i < block.depth; ++i) {
                total += x[r * block.x_stride + i] * w[c * block.w_stride + i];
            }
            y[r * block.y_stride + c] += total;
        }
    }
}

// `cols` columns or fewer.
template <typename T, int rows, int cols>
inline void dot_few(index_t count, const DotBlock& block, const T* x, const T* w, T* y) {
    if constexpr (cols > 0) {
        if (count == cols) {
            dot_tile<T, rows, cols>(block, x, w, y);
        } else {
            dot_few<T, rows, cols - 1>(count, block, x, w, y);
        }
    }
}

template <typename T, int rows>
void dot_rows(const DotBlock& block, const T* x, const T* w, T* y) {
    constexpr int cols = dot_cols(rows);
    index_t c = 0;
    for (; c + cols <= block.cols; c += cols) {
        dot_tile<T, rows, cols>(block, x, w + c * block.w_stride, y + c);
    }
    dot_few<T, rows, cols - 1>(block.cols - c, block, x, w + c * block.w_stride, y + c);
}

// The last rows, `rows` or fewer.
template <typename T, int rows>
inline void dot_last_rows(index_t count, const DotBlock& block, const T* x, const T* w, T* y) {
    if constexpr (rows > 0) {
        if (count == rows) {
            dot_rows<T, rows>(block, x, w, y);
        } else {
            dot_last_rows<T, rows - 1>(count, block, x, w, y);
        }
    }
}

template <typename T>
void dots(const DotBlock& block, const T* x, const T* w, T* y) {
    index_t r = 0;
    for (; r + kDotRows <= block.rows; r += kDotRows) {
        dot_rows<T, kDotRows>(block, x + r * block.x_stride, w, y + r * block.y_stride);
    }
    dot_last_rows<T, kDotRows - 1>(block.rows - r, block, x + r * block.x_stride, w,
                                   y + r * block.y_stride);
}
