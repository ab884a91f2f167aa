// What the register tiles of several topics have in common.
#pragma once

#include "kernels/product.h"
#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Three vectors of columns: 24 of 32 registers hold accumulators for 8 rows, or 12 of 16 for 4.
inline constexpr int kTileVectors = kProductVectors;
inline constexpr int kTileRows = kVectorRegisters >= 32 ? 8 : 4;

// The right panel streams from the second-level cache. Asking for it so many steps ahead hides that
// cache's latency: 84 instead of 73% of the peak on the 3x3 layers of VGG.
inline constexpr int kDepthAhead = 12;

// Asks for what a panel of `vectors` holds so many steps from `at` on: one prefetch for each whole
// cache line of a step, since the processor follows what lies in a row, and prefetches take turns
// with the loads of both threads of a core (docs/measurements.md#prefetches).
template <typename T, int vectors, int steps>
[[gnu::always_inline]] inline void prefetch_panel(const T* at) {
    constexpr int line = 64 / sizeof(T), cols = vectors * kLanes<T>;
    constexpr int lines = cols < line ? 1 : cols / line;
#pragma GCC unroll 8
    for (int i = 0; i < lines; ++i) __builtin_prefetch(at + steps * cols + i * line);
}

// sum[r][t] += d[r] * x[t], with the smaller side held in registers.
template <typename T, int rows, int taps, typename Row, typename Tap>
inline void add_products(Vec<T> (&sum)[rows][taps], const Row& row, const Tap& tap) {
    if constexpr (rows < taps) {
        Vec<T> d[rows];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) d[r] = row(r);
#pragma GCC unroll 16
        for (int t = 0; t < taps; ++t) {
            const Vec<T> x = pinned(tap(t));
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) add_held_product(sum[r][t], d[r], x);
        }
    } else {
        Vec<T> x[taps];
#pragma GCC unroll 16
        for (int t = 0; t < taps; ++t) x[t] = tap(t);
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            const Vec<T> d = pinned(row(r));
#pragma GCC unroll 16
            for (int t = 0; t < taps; ++t) add_held_product(sum[r][t], d, x[t]);
        }
    }
}

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
