// Copies of image rows into and out of padded bands and planes.
#include "kernels/rows.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T>
void pad_rows(index_t rows, index_t before, index_t count, index_t width, const T* from,
              index_t from_stride, index_t stride, T* to) {
    for (index_t row = 0; row < rows; ++row) {
        clear(before, to);
        if (stride == 1 && count > 0 && count <= kLanes<T> &&
            (rows - 1 - row) * from_stride + count >= kLanes<T>) {
            // The rows below may be read too, and what follows in the target is yet to be written.
            store(to + before, load(from));
        } else {
            copy_row(count, stride, from, to + before);
        }
        clear(width - before - count, to + before + count);
        from += from_stride;
        to += width;
    }
}

template <typename T>
void copy_rows(index_t rows, index_t count, const T* from, index_t from_stride, T* to,
               index_t to_stride, index_t step) {
    for (index_t row = 0; row < rows; ++row) {
        if (step == 1) {
            for (index_t i = 0; i < count; i += kLanes<T>) {
                prefetch_for_writing(to + i + kAheadBytes / sizeof(T));
            }
            copy_row(count, 1, from, to);
        } else {
            for (index_t i = 0; i < count; ++i) to[i * step] = from[i];
        }
        from += from_stride;
        to += to_stride;
    }
}

// Calls vector(from, row, i) for the vectors of each row, each `taken` elements of the source from
// the i-th on, and single(from, row, end of the last vector) for rows whose last vector would read
// too far.
template <typename T, typename Vector, typename Single>
inline void for_row_vectors(const RowCopy& copy, index_t taken, const T* from, const Vector& vector,
                            const Single& single) {
    const index_t reach = (copy.count + taken - 1) / taken * taken;
    for (index_t row = 0; row < copy.rows; ++row, from += copy.step) {
        const index_t to = row * copy.to_step;
        if (row * copy.step + reach <= copy.room) {
            for (index_t i = 0; i < copy.count; i += taken) {
                for (index_t k = 0; k < taken; k += kLanes<T>) {
                    __builtin_prefetch(from + i + k + kAheadBytes / sizeof(T));
                }
                vector(from + i, to, i);
            }
        } else {
            single(from, to, reach);
        }
    }
}

template <typename T>
void copy_plane(const RowCopy& copy, const T* from, T* to) {
    constexpr index_t lanes = kLanes<T>;
    for_row_vectors<T>(
        copy, lanes, from,
        [&](const T* x, index_t row, index_t i) {
            const Vec<T> value = load(x);
            const index_t left = copy.count - i;
            store(to + row + i, left < lanes ? first_lanes<T>(left, value) : value);
        },
        [&](const T* x, index_t row, index_t reach) {
            for (index_t i = 0; i < reach; ++i) to[row + i] = i < copy.count ? x[i] : T{0};
        });
}

template <typename T>
void split_plane(const RowCopy& copy, const T* from, T* even, T* odd) {
    constexpr index_t lanes = kLanes<T>;
    for_row_vectors<T>(
        copy, 2 * lanes, from,
        [&](const T* x, index_t row, index_t i) {
            const Vec<T> a = load(x), b = load(x + lanes);
            Vec<T> evens = even_elements(a, b);
            Vec<T> odds = odd_elements(a, b);
            const index_t left = copy.count - i;
            if (left < 2 * lanes) {
                evens = first_lanes<T>((left + 1) / 2, evens);
                odds = first_lanes<T>(left / 2, odds);
            }
            store(even + row + i / 2, evens);
            store(odd + row + i / 2, odds);
        },
        [&](const T* x, index_t row, index_t reach) {
            for (index_t i = 0; i < reach; i += 2) {
                even[row + i / 2] = i < copy.count ? x[i] : T{0};
            }
            for (index_t i = 1; i < reach; i += 2) {
                odd[row + i / 2] = i < copy.count ? x[i] : T{0};
            }
        });
}

template <typename T>
void spread_plane(const RowCopy& copy, const T* from, T* to) {
    constexpr index_t lanes = kLanes<T>;
    for_row_vectors<T>(
        copy, lanes, from,
        [&](const T* x, index_t row, index_t i) {
            const Vec<T> value = first_lanes<T>(copy.count - i, load(x));
            store(to + row + 2 * i, interleave_lower(value, Vec<T>{}));
            store(to + row + 2 * i + lanes, interleave_upper(value, Vec<T>{}));
        },
        [&](const T* x, index_t row, index_t reach) {
            for (index_t i = 0; i < reach; ++i) {
                to[row + 2 * i] = i < copy.count ? x[i] : T{0};
                to[row + 2 * i + 1] = 0;
            }
        });
}

template <typename T>
constexpr CopyKernels<T> kKernels = {
    .copy_rows = copy_rows<T>,
    .pad_rows = pad_rows<T>,
    .copy_plane = copy_plane<T>,
    .split_plane = split_plane<T>,
    .spread_plane = spread_plane<T>,
};

}  // namespace

const Topic<CopyKernels> copies_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
