// The gradient of a convolution's weights where few of its results have a gradient, as behind a
// max pooling: each such result adds the patch of the image that it saw, times its gradient.

// A row of the patch, in one vector or two.
template <typename T>
inline constexpr int kPatchLanes = kLanes<T> < kPatchCols ? kLanes<T> : int{kPatchCols};
template <typename T>
inline constexpr int kPatchVectors = int{kPatchCols} / kPatchLanes<T>;

// Two results at a time, with sums of their own: a chain of additions would wait for itself.
template <typename T, int rows>
void sparse_grad_rows(index_t count, const T* values, const index_t* places, const index_t* starts,
                      const index_t* offsets, const T* source, T* sums) {
    constexpr int lanes = kPatchLanes<T>, vectors = kPatchVectors<T>;
    using P = Pack<T, lanes* int{sizeof(T)}>;
    typename P::Vec sum[2][rows * vectors] = {};
    const auto add = [&](index_t i, auto& to) {
        const T value = values[i];
        const T* patch = source + starts[places[i]];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) {
                to[r * vectors + v] += value * P::load(patch + offsets[r] + v * lanes);
            }
        }
    };
    index_t i = 0;
    for (; i + 2 <= count; i += 2) {
        add(i, sum[0]);
        add(i + 1, sum[1]);
    }
    if (i < count) add(i, sum[0]);
#pragma GCC unroll 8
    for (int k = 0; k < rows * vectors; ++k) {
        T* to = sums + k * lanes;
        P::store(to, P::load(to) + (sum[0][k] + sum[1][k]));
    }
}

// `rows` rows or fewer.
template <typename T, int rows>
inline void sparse_grad_few(index_t wanted, index_t count, const T* values, const index_t* places,
                            const index_t* starts, const index_t* offsets, const T* source,
                            T* sums) {
    if constexpr (rows > 0) {
        if (wanted == rows) {
            sparse_grad_rows<T, rows>(count, values, places, starts, offsets, source, sums);
        } else {
            sparse_grad_few<T, rows - 1>(wanted, count, values, places, starts, offsets, source,
                                         sums);
        }
    }
}

template <typename T>
bool sparse_grad(index_t count, const T* values, const index_t* places, index_t start_count,
                 const index_t* starts, index_t rows, const index_t* offsets, const T* source,
                 T* sums) {
    if (!are_below(count, places, start_count)) return false;
    constexpr index_t most = 6 / kPatchVectors<T>;
    const index_t parts = ceil_div(rows, most);
    for (index_t part = 0; part < parts; ++part) {
        const index_t row = part * rows / parts, end = (part + 1) * rows / parts;
        sparse_grad_few<T, most>(end - row, count, values, places, starts, offsets + row, source,
                                 sums + row * kPatchCols);
    }
    return true;
}
