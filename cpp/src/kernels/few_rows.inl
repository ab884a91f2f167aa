// Products of a few rows with a large matrix that is read once, where it stands: packing it, as
// the blocked product does, would move it twice more.

template <typename T>
void few_rows_sums(index_t rows, index_t cols, index_t depth, const T* x, index_t x_stride,
                   const T* w, index_t stride, T* y, index_t y_stride) {
    for (index_t r = 0; r < rows; ++r) {
        for (index_t c = 0; c < cols; ++c) y[r * y_stride + c] = 0;
    }
    // Four rows of w at a time, so that results are loaded and stored less often than w is.
    index_t k = 0;
    for (; k + 4 <= depth; k += 4, w += 4 * stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T* f = x + r * x_stride + k;
            const T f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3];
            T* out = y + r * y_stride;
            for (index_t c = 0; c < cols; ++c) {
                out[c] += (f0 * w[c] + f1 * w[stride + c]) +
                          (f2 * w[2 * stride + c] + f3 * w[3 * stride + c]);
            }
        }
    }
    for (; k < depth; ++k, w += stride) {
        for (index_t r = 0; r < rows; ++r) {
            const T f = x[r * x_stride + k];
            for (index_t c = 0; c < cols; ++c) y[r * y_stride + c] += f * w[c];
        }
    }
}
