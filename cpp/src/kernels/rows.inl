// Copies of image rows into and out of padded bands.

// The even elements of from[0, 2 * kLanes - 1): nothing past the last one taken is read.
template <typename T>
inline Vec<T> load_every_second(const T* from) {
    typename Simd<T>::Mask mask;
    for (int i = 0; i < kLanes<T>; ++i) {
        mask[i] = i < kLanes<T> / 2 ? 2 * i : kLanes<T> + 2 * i - (kLanes<T> - 1);
    }
    return __builtin_shuffle(load(from), load(from + kLanes<T> - 1), mask);
}

// to[i] = from[i * stride], with a last vector that overlaps the one before it.
template <typename T>
inline void copy_row(index_t count, index_t stride, const T* from, T* to) {
    constexpr index_t lanes = kLanes<T>;
    if (stride > 2 || count < lanes) {
        for (index_t i = 0; i < count; ++i) to[i] = from[i * stride];
    } else if (stride == 2) {
        for (index_t i = 0; i < count - lanes; i += lanes) {
            store(to + i, load_every_second(from + 2 * i));
        }
        store(to + count - lanes, load_every_second(from + 2 * (count - lanes)));
    } else {
        for (index_t i = 0; i < count - lanes; i += lanes) store(to + i, load(from + i));
        store(to + count - lanes, load(from + count - lanes));
    }
}

template <typename T>
void pad_rows(index_t rows, index_t before, index_t count, index_t width, const T* from,
              index_t from_stride, index_t stride, T* to) {
    for (index_t row = 0; row < rows; ++row) {
        for (index_t i = 0; i < before; ++i) to[i] = 0;
        copy_row(count, stride, from, to + before);
        for (index_t i = before + count; i < width; ++i) to[i] = 0;
        from += from_stride;
        to += width;
    }
}

template <typename T>
void store_rows(index_t rows, index_t count, const T* from, index_t from_stride, T bias, T* to,
                index_t to_stride) {
    constexpr index_t lanes = kLanes<T>;
    const Vec<T> b = splat(bias);
    for (index_t row = 0; row < rows; ++row) {
        if (count >= lanes) {
            for (index_t i = 0; i < count - lanes; i += lanes) store(to + i, load(from + i) + b);
            store(to + count - lanes, load(from + count - lanes) + b);
        } else {
            for (index_t i = 0; i < count; ++i) to[i] = from[i] + bias;
        }
        from += from_stride;
        to += to_stride;
    }
}
