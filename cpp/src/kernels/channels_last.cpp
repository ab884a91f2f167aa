// Convolutions of images whose channels lie together.
#include "kernels/channels_last.h"

#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Rows of a tile of the product by its vectors: as many accumulators as hide the latency of the
// multiply-adds, beside the vectors of the panel and one element of x.
inline constexpr int kProductRows[] = {8, kManyRegisters ? 12 : 6, kManyRegisters ? 8 : 4,
                                       kManyRegisters ? 6 : 0};
inline constexpr int kWidest = kManyRegisters ? 4 : 3;
// Pixels by vectors of a depthwise tile.
inline constexpr int kDepthwisePixels = 6, kDepthwiseVectors = 2;
// Rows that are left over are computed two at a time. Those of a tile that do not exist are the last
// one again: the same sums go to the same place.
inline constexpr int kFewRows = 2;

template <typename T>
inline Vec<T> ended(Vec<T> sum, const SumsEnd<T>& end, const T* bias, const T* addend) {
    sum += load(bias);
    if (addend != nullptr) sum += load(addend);
    sum = sum <= end.low ? splat(end.low) : sum;
    return sum > end.high ? splat(end.high) : sum;
}

// Where the rows of a result begin.
class Lines {
  public:
    explicit Lines(const PanelRows& to) : to_(to), left_(to.width) {}

    index_t next() {
        const index_t here = at_;
        at_ += to_.pitch;
        if (--left_ == 0) {
            left_ = to_.width;
            at_ += to_.gap;
        }
        return here;
    }

  private:
    const PanelRows& to_;
    index_t at_ = 0, left_;
};

template <typename T, int rows, int vectors>
inline void product_tile(index_t count, index_t depth, const T* x, index_t x_pitch, const T* panel,
                         const SumsEnd<T>& end, Lines& lines, T* y) {
    constexpr int lanes = kLanes<T>, cols = vectors * lanes;
    const T* row[rows];
    index_t at[rows];
    for (int i = 0; i < rows; ++i) {
        row[i] = x + (i < count ? i : count - 1) * x_pitch;
        at[i] = i < count ? lines.next() : at[count - 1];
    }
    Vec<T> sum[rows][vectors] = {};
    for (index_t k = 0; k < depth; ++k) {
        Vec<T> r[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            r[v] = load(panel + v * lanes);
            if constexpr (vectors > 1) __builtin_prefetch(panel + kDepthAhead * cols + v * lanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) {
            const Vec<T> l = splat(row[i][k]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
        }
        panel += cols;
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
        const T* addend = end.addend != nullptr ? end.addend + at[i] : nullptr;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            store(y + at[i] + v * lanes,
                  ended<T>(sum[i][v], end, end.bias + v * lanes,
                           addend != nullptr ? addend + v * lanes : nullptr));
        }
    }
}

template <typename T, int vectors>
void multiply_panel(index_t rows, index_t depth, const T* x, index_t x_pitch, const T* panel,
                    const SumsEnd<T>& end, const PanelRows& to, T* y) {
    constexpr int most = kProductRows[vectors - 1];
    Lines lines(to);
    for (index_t i = 0; i < rows;) {
        const index_t left = rows - i;
        const T* from = x + i * x_pitch;
        if (left <= kFewRows) {
            product_tile<T, kFewRows, vectors>(left, depth, from, x_pitch, panel, end, lines, y);
            return;
        }
        product_tile<T, most, vectors>(left < most ? left : most, depth, from, x_pitch, panel, end,
                                       lines, y);
        i += most;
    }
}

template <typename T>
void multiply(index_t rows, index_t depth, const T* x, index_t x_pitch, const T* panel,
              const SumsEnd<T>& end, const PanelRows& to, T* y) {
    dispatch<kWidest>(to.vectors, [&]<int vectors>() {
        multiply_panel<T, vectors>(rows, depth, x, x_pitch, panel, end, to, y);
    });
}

// The vectors of the panel are `cols` apart from tap to tap.
template <typename T, int pixels, int vectors>
inline void depthwise_tile(index_t count, index_t taps, const index_t* offsets, const T* x,
                           index_t step, const T* weight, index_t cols, const SumsEnd<T>& end,
                           const T* bias, index_t pitch, T* y) {
    constexpr int lanes = kLanes<T>;
    const T* pixel[pixels];
#pragma GCC unroll 16
    for (int i = 0; i < pixels; ++i) pixel[i] = x + (i < count ? i : count - 1) * step;
    Vec<T> sum[pixels][vectors] = {};
    for (index_t t = 0; t < taps; ++t) {
        const index_t offset = offsets[t];
        Vec<T> w[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) w[v] = load(weight + v * lanes);
#pragma GCC unroll 16
        for (int i = 0; i < pixels; ++i) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                add_product(sum[i][v], load(pixel[i] + offset + v * lanes), w[v]);
            }
        }
        weight += cols;
    }
#pragma GCC unroll 16
    for (int i = 0; i < pixels; ++i) {
        T* out = y + (i < count ? i : count - 1) * pitch;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            store(out + v * lanes,
                  ended<T>(sum[i][v], end, bias + v * lanes, static_cast<const T*>(nullptr)));
        }
    }
}

template <typename T>
void depthwise(index_t taps, const index_t* offsets, const T* x, index_t step, const T* weight,
               const SumsEnd<T>& end, const PanelRows& to, T* y) {
    constexpr int lanes = kLanes<T>;
    const index_t cols = to.vectors * lanes;
    for (index_t v = 0; v < to.vectors; v += kDepthwiseVectors) {
        const index_t c = v * lanes;
        const auto tiles = [&]<int vectors>() {
            for (index_t i = 0; i < to.width;) {
                const index_t left = to.width - i;
                const T* from = x + i * step + c;
                T* out = y + i * to.pitch + c;
                const T *w = weight + c, *bias = end.bias + c;
                if (left <= kFewRows) {
                    depthwise_tile<T, kFewRows, vectors>(left, taps, offsets, from, step, w, cols,
                                                         end, bias, to.pitch, out);
                    return;
                }
                depthwise_tile<T, kDepthwisePixels, vectors>(
                    left < kDepthwisePixels ? left : kDepthwisePixels, taps, offsets, from, step, w,
                    cols, end, bias, to.pitch, out);
                i += kDepthwisePixels;
            }
        };
        dispatch<kDepthwiseVectors>(
            to.vectors - v < kDepthwiseVectors ? to.vectors - v : kDepthwiseVectors, tiles);
    }
}

template <typename T>
void scale_rows(index_t rows, index_t cols, const T* x, const T* numbers, T* y) {
    for (index_t i = 0; i < rows; ++i, x += cols, y += cols) {
        for (index_t j = 0; j < cols; j += kLanes<T>) store(y + j, load(x + j) * load(numbers + j));
    }
}

template <typename T>
void add_rows(index_t rows, index_t cols, const T* x, T* sums) {
    for (index_t j = 0; j < cols; j += kLanes<T>) {
        Vec<T> sum = {};
        for (index_t i = 0; i < rows; ++i) sum += load(x + i * cols + j);
        store(sums + j, load(sums + j) + sum);
    }
}

template <typename T>
constexpr ChannelsLastKernels<T> kKernels = {
    .multiply = multiply<T>,
    .depthwise = depthwise<T>,
    .scale_rows = scale_rows<T>,
    .add_rows = add_rows<T>,
};

}  // namespace

const Topic<ChannelsLastKernels> channels_last_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
