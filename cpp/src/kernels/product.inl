// The register tile of the matrix product. It is the only inner loop that convolution and the
// fully connected layer spend their time in.

// Three vectors of columns: 24 of 32 registers hold accumulators for 8 rows, or 12 of 16 for 4.
inline constexpr int kTileVectors = 3;
inline constexpr int kTileRows = kVectorRegisters >= 32 ? 8 : 4;

// The right panel streams from the second-level cache. Asking for it so many steps ahead hides that
// cache's latency: 84 instead of 73% of the peak on the 3x3 layers of VGG.
inline constexpr int kDepthAhead = 12;

template <typename T>
void multiply(index_t depth, const T* left, const T* right, T* tile, bool accumulate) {
    constexpr int lanes = kLanes<T>;
    constexpr int cols = kTileVectors * lanes;
    Vec<T> sum[kTileRows][kTileVectors] = {};
    for (index_t k = 0; k < depth; ++k) {
        __builtin_prefetch(left + kTileRows * 64);
        Vec<T> r[kTileVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) {
            r[v] = load(right + v * lanes);
            __builtin_prefetch(right + kDepthAhead * cols + v * lanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < kTileRows; ++i) {
            const Vec<T> l = splat(left[i]);
#pragma GCC unroll 8
            for (int v = 0; v < kTileVectors; ++v) sum[i][v] += l * r[v];
        }
        left += kTileRows;
        right += cols;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < kTileVectors; ++v) {
            T* out = tile + i * cols + v * lanes;
            store(out, accumulate ? load(out) + sum[i][v] : sum[i][v]);
        }
    }
}

template <typename T>
void store_tile(index_t rows, index_t cols, const T* tile, const T* bias, T* out,
                index_t out_stride) {
    for (index_t r = 0; r < rows; ++r) {
        const T b = bias != nullptr ? bias[r] : T{0};
        index_t c = 0;
        for (; c + kLanes<T> <= cols; c += kLanes<T>) store(out + c, load(tile + c) + splat(b));
        for (; c < cols; ++c) out[c] = tile[c] + b;
        tile += kTileVectors * kLanes<T>;
        out += out_stride;
    }
}
