// Copies of image rows into and out of padded bands and planes.
#include "kernels/norm_vectors.h"
#include "kernels/rows.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

template <typename T, typename Change>
inline void pad_changed_rows(index_t rows, index_t before, index_t count, index_t width,
                             const T* from, index_t from_stride, index_t stride, T* to,
                             const Change& change) {
    for (index_t row = 0; row < rows; ++row) {
        clear(before, to);
        if (stride == 1 && count > 0 && count <= kLanes<T> &&
            (rows - 1 - row) * from_stride + count >= kLanes<T>) {
            // The rows below may be read too, and what follows in the target is yet to be written.
            store(to + before, change(load(from)));
        } else {
            copy_row(count, stride, from, to + before, change);
        }
        clear(width - before - count, to + before + count);
        from += from_stride;
        to += width;
    }
}

template <typename T>
void pad_rows(index_t rows, index_t before, index_t count, index_t width, const T* from,
              index_t from_stride, index_t stride, T* to, const ChannelNorm<T>* norm) {
    if (norm == nullptr) {
        pad_changed_rows(rows, before, count, width, from, from_stride, stride, to, Unchanged{});
    } else {
        pad_changed_rows(rows, before, count, width, from, from_stride, stride, to,
                         [how = NormVectors<T>(*norm)](Vec<T> x) { return how.normalized(x); });
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

void widen(index_t rows, index_t count, const BFloat16* from, index_t from_stride, float* to,
           index_t to_stride) {
    constexpr index_t lanes = kLanes<float>;
    for (index_t row = 0; row < rows; ++row, from += from_stride, to += to_stride) {
        index_t i = 0;
        for (; i + lanes <= count; i += lanes) {
            __builtin_prefetch(from + i + kAheadBytes / sizeof(BFloat16));
            store(to + i, load(from + i));
        }
        for (; i < count; ++i) to[i] = __builtin_bit_cast(float, std::uint32_t{from[i].bits} << 16);
    }
}
constexpr auto widen_rows(float /*of*/) {
    return widen;
}
constexpr auto widen_rows(double /*of*/) {
    return nullptr;
}

template <typename T>
constexpr CopyKernels<T> kKernels = {
    .copy_rows = copy_rows<T>,
    .widen_rows = widen_rows(T{}),
    .pad_rows = pad_rows<T>,
};

}  // namespace

const Topic<CopyKernels> copies_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
