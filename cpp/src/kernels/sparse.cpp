// The gradient of a convolution's weights where few of its results have a gradient, as behind a
// max pooling: each such result adds the patch of the image that it saw, times its gradient.
#include "kernels/simd.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Patches of an image, one every `step` elements of the source, each the `rows` pieces of `length`
// elements that begin at offsets[r], and a one. They go `width` apart. Piece by piece of all
// patches: a vector's end that runs into the next piece is written over later.
template <typename T>
void copy_patches(index_t count, index_t step, index_t rows, index_t length, const index_t* offsets,
                  const T* source, index_t width, T* to) {
    constexpr int lanes = kLanes<T> < kPatchPiece ? kLanes<T> : int{kPatchPiece};
    using P = Pack<T, lanes* int{sizeof(T)}>;
    for (index_t r = 0; r < rows; ++r) {
        for (index_t j = 0; j < length; j += lanes) {
            const T* from = source + offsets[r] + j;
            T* piece = to + r * length + j;
            for (index_t i = 0; i < count; ++i) {
                P::store(piece + i * width, P::load(from + i * step));
            }
        }
    }
    for (index_t i = 0; i < count; ++i) to[i * width + rows * length] = T{1};
}

// The sign bits tell, without a branch, whether all differences are in their ranges.
inline std::uint32_t subtract_places(index_t count, const std::int32_t* places,
                                     const std::int32_t* firsts, const std::int32_t* limits,
                                     std::int32_t factor, std::int32_t* to) {
    std::uint32_t signs = 0;
    for (index_t i = 0; i < count; ++i) {
        // Unsigned, for a place may be anything.
        const std::uint32_t place =
            static_cast<std::uint32_t>(places[i]) - static_cast<std::uint32_t>(firsts[i]);
        signs |= place | (static_cast<std::uint32_t>(limits[i]) - 1 - place);
        to[i] = static_cast<std::int32_t>(place * static_cast<std::uint32_t>(factor));
    }
    return signs;
}

inline bool relative_places(index_t count, const std::int32_t* places, const std::int32_t* firsts,
                            const std::int32_t* limits, std::int32_t factor, std::int32_t* to) {
    constexpr index_t chunk = 64;
    std::uint32_t signs = 0;
    index_t i = 0;
    for (; i + chunk <= count; i += chunk) {
        prefetch<0>(places + i, kReadAhead, chunk * index_t{sizeof(std::int32_t)});
        signs |= subtract_places(chunk, places + i, firsts + i, limits + i, factor, to + i);
    }
    signs |= subtract_places(count - i, places + i, firsts + i, limits + i, factor, to + i);
    return signs >> 31 == 0;
}

// Sums of several filters side by side, for a chain of additions waits for itself.
inline constexpr int kSparseFilters = 4;
inline constexpr int kSparseVectors = kVectorRegisters >= 32 ? 4 : 2;

template <typename T, int filters, int vectors>
void sparse_backward_tile(const SparseGrad<T>& grad, const T* patches, T* sums) {
    Vec<T> sum[filters][vectors] = {};
    for (index_t i = 0; i < grad.count; ++i) {
#pragma GCC unroll 4
        for (int f = 0; f < filters; ++f) {
            const index_t at = f * grad.stride + i;
            const Vec<T> value = splat(grad.values[at]);
            const T* patch = patches + grad.places[at];
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sum[f][v] += value * load(patch + v * kLanes<T>);
        }
    }
#pragma GCC unroll 4
    for (int f = 0; f < filters; ++f) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            T* to = sums + f * grad.width + v * kLanes<T>;
            store(to, load(to) + sum[f][v]);
        }
    }
}

// All vectors of a patch, some at a time.
template <typename T, int filters>
inline void sparse_backward_parts(const SparseGrad<T>& grad, const T* patches, T* sums) {
    index_t vectors = grad.width / kLanes<T>;
    for (; vectors >= kSparseVectors; vectors -= kSparseVectors) {
        sparse_backward_tile<T, filters, kSparseVectors>(grad, patches, sums);
        patches += kSparseVectors * kLanes<T>;
        sums += kSparseVectors * kLanes<T>;
    }
    dispatch<kSparseVectors - 1>(
        vectors, [&]<int few>() { sparse_backward_tile<T, filters, few>(grad, patches, sums); });
}

template <typename T>
void sparse_backward(const SparseGrad<T>& grad, const T* patches, T* sums) {
    SparseGrad<T> part = grad;
    for (; part.filters > 0; part.filters -= kSparseFilters) {
        dispatch<kSparseFilters>(
            part.filters < kSparseFilters ? part.filters : kSparseFilters,
            [&]<int filters>() { sparse_backward_parts<T, filters>(part, patches, sums); });
        part.values += kSparseFilters * grad.stride;
        part.places += kSparseFilters * grad.stride;
        sums += kSparseFilters * grad.width;
    }
}

template <typename T>
constexpr SparseKernels<T> kKernels = {
    .copy_patches = copy_patches<T>,
    .relative_places = relative_places,
    .sparse_backward = sparse_backward<T>,
};

}  // namespace

const Topic<SparseKernels> sparse_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
