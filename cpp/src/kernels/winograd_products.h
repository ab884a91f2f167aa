// The products of the Winograd convolution: register tiles whose left operand is broadcast from
// the lanes in which the transforms leave it, so that nothing is repacked.
#pragma once

#include "kernels/tile.h"
#include "kernels/winograd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// 28 of 32 registers hold accumulators (14 x 2), or 12 of 16 (6 x 2): each vector of the right
// operand is used 14 or 6 times, each broadcast twice.
inline constexpr int kWinogradRows = kVectorRegisters >= 32 ? 14 : 6;
inline constexpr int kWinogradVectors = 2;
// A panel that is not full takes the lowest tile that holds its rows; the lowest has enough sums to
// hide the latency of the multiply-adds.
inline constexpr int kWinogradHeights[] = {kVectorRegisters >= 32 ? 4 : 2,
                                           kVectorRegisters >= 32 ? 9 : 4, kWinogradRows};
// The rows are channels of one vector, so they divide it. With 16 registers three vectors are
// needed to hide the latency of the multiply-adds. A single vector of filters takes twice as many
// rows: as many sums are under way, and the channels are read half as often.
inline constexpr int kWinogradGradVectors = kVectorRegisters >= 32 ? 2 : 3;
inline constexpr int kWinogradGradMostRows = kVectorRegisters >= 32 ? 8 : 4;
template <typename T, int vectors>
inline constexpr int kWinogradGradRows =
    vectors == 1 ? (kLanes<T> < 2 * kWinogradGradMostRows ? kLanes<T> : 2 * kWinogradGradMostRows)
                 : (kLanes<T> < kWinogradGradMostRows ? kLanes<T> : kWinogradGradMostRows);

// Both operands come from the L2 cache at best, and a processor fetches such short runs too late.
// Asking for them this many steps early made layers of 128 to 512 channels 1.05 to 1.2 times as
// fast.
inline constexpr int kWinogradAhead = 16;

template <typename T, int vectors, int height>
void winograd_multiply(index_t depth, const T* left, index_t left_stride, const T* right, T* out) {
    constexpr int lanes = kLanes<T>, rows = kWinogradHeights[height];
    Vec<T> sum[rows][vectors] = {};
    for (index_t block = 0; block < depth; block += lanes) {
        const index_t count = depth - block < lanes ? depth - block : lanes;
        const T* l = left;
        // At once where a step's share would be less than a cache line.
        const T* ahead = left + left_stride;
        if constexpr (!kManyRegisters) prefetch_panel<T, rows, 0>(ahead);
        for (index_t k = 0; k < count; ++k) {
            Vec<T> r[vectors];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                r[v] = load(right + v * lanes);
                __builtin_prefetch(right + index_t{kWinogradAhead * vectors + v} * lanes);
            }
            if constexpr (kManyRegisters) __builtin_prefetch(ahead + k * lanes);
#pragma GCC unroll 16
            for (int i = 0; i < rows; ++i) {
                const Vec<T> a = splat(l[index_t{i} * lanes]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) add_product(sum[i][v], a, r[v]);
            }
            ++l;
            right += vectors * lanes;
        }
        left += left_stride;
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) store(out + (i * vectors + v) * lanes, sum[i][v]);
    }
}

template <typename T, int vectors>
void winograd_accumulate(index_t depth, const T* left, const T* right, T* out, index_t out_stride,
                         bool add) {
    constexpr int lanes = kLanes<T>, rows = kWinogradGradRows<T, vectors>;
    Vec<T> sum[rows][vectors] = {};
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) __builtin_prefetch(out + i * out_stride + v * lanes, 1);
    }
    for (index_t t = 0; t < depth; ++t) {
        Vec<T> r[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) r[v] = load(right + v * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) {
            const Vec<T> a = splat(left[i]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[i][v], a, r[v]);
        }
        __builtin_prefetch(left + kWinogradAhead * lanes);
        left += lanes;
        right += vectors * lanes;
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            T* to = out + i * out_stride + v * lanes;
            store(to, add ? load(to) + sum[i][v] : sum[i][v]);
        }
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
