// Convolutions of images whose channels lie together.
#include "kernels/channels_last.h"

#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Rows of a tile of the product by its vectors: as many accumulators as hide the latency of the
// multiply-adds, beside the vectors of the panel and one element of x.
inline constexpr int kProductRows[] = {kManyRegisters ? 12 : 8, kManyRegisters ? 12 : 6,
                                       kManyRegisters ? 8 : 4, kManyRegisters ? 6 : 0};
inline constexpr int kWidest = kManyRegisters ? 4 : 3;
// Pixels by vectors of a tile that is no product.
inline constexpr int kLinePixels = 6, kLineVectors = 2;
// Rows that are left over are computed two at a time. Those of a tile that do not exist are the
// last one again: the same sums go to the same place.
inline constexpr int kFewRows = 2;

template <typename T>
inline Vec<T> ended(Vec<T> sum, const SumsEnd<T>& end, const T* bias, const T* addend) {
    sum += load(bias);
    if (addend != nullptr) sum += load(addend);
    sum = sum <= end.low ? splat(end.low) : sum;
    return sum > end.high ? splat(end.high) : sum;
}

// Where pixels begin, one after the other.
class Places {
  public:
    explicit Places(const PixelGrid& grid) : grid_(grid), left_(grid.width) {}

    index_t next() {
        const index_t here = at_;
        at_ += grid_.step;
        if (--left_ == 0) {
            left_ = grid_.width;
            at_ += grid_.line - grid_.width * grid_.step;
        }
        return here;
    }

  private:
    const PixelGrid& grid_;
    index_t at_ = 0, left_;
};

template <typename T, int rows, int vectors>
inline void product_tile(index_t count, const T* x, Places& from, const ElementRuns& runs,
                         const T* panel, const SumsEnd<T>& end, T* y, Places& to) {
    constexpr int lanes = kLanes<T>, cols = vectors * lanes;
    index_t source[rows] = {from.next()}, target[rows] = {to.next()};
    for (int i = 1; i < rows; ++i) {
        source[i] = i < count ? from.next() : source[i - 1];
        target[i] = i < count ? to.next() : target[i - 1];
    }
    Vec<T> sum[rows][vectors] = {};
    for (index_t run = 0; run < runs.count; ++run) {
        const T* row[rows];
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) row[i] = x + runs.offsets[run] + source[i];
        for (index_t k = 0; k < runs.length; ++k) {
            Vec<T> r[vectors];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                r[v] = load(panel + v * lanes);
                if constexpr (vectors > 1) {
                    __builtin_prefetch(panel + kDepthAhead * cols + v * lanes);
                }
            }
#pragma GCC unroll 16
            for (int i = 0; i < rows; ++i) {
                const Vec<T> l = splat(row[i][k]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
            }
            panel += cols;
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
        const T* addend = end.addend != nullptr ? end.addend + target[i] : nullptr;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            store(y + target[i] + v * lanes,
                  ended<T>(sum[i][v], end, end.bias + v * lanes,
                           addend != nullptr ? addend + v * lanes : nullptr));
        }
    }
}

template <typename T>
void multiply(index_t count, index_t vectors, const T* x, const PixelGrid& from,
              const ElementRuns& runs, const T* panel, const SumsEnd<T>& end, T* y,
              const PixelGrid& to) {
    dispatch<kWidest>(vectors, [&]<int width>() {
        constexpr int most = kProductRows[width - 1];
        Places sources(from), targets(to);
        for (index_t left = count; left > 0; left -= most) {
            if (left <= kFewRows) {
                product_tile<T, kFewRows, width>(left, x, sources, runs, panel, end, y, targets);
            } else {
                product_tile<T, most, width>(left < most ? left : most, x, sources, runs, panel,
                                             end, y, targets);
            }
        }
    });
}

// Calls tile<pixels, width>(pixel, count, first column) for all pixels of a line and all vectors.
template <typename T, typename Tile>
inline void for_tiles_of_line(index_t vectors, index_t pixels, const Tile& tile) {
    for (index_t v = 0; v < vectors; v += kLineVectors) {
        const index_t left = vectors - v, col = v * kLanes<T>;
        dispatch<kLineVectors>(left < kLineVectors ? left : kLineVectors, [&]<int width>() {
            for (index_t i = 0; i < pixels; i += kLinePixels) {
                const index_t rest = pixels - i;
                if (rest <= kFewRows) {
                    tile.template operator()<kFewRows, width>(i, rest, col);
                } else {
                    tile.template operator()<kLinePixels, width>(
                        i, rest < kLinePixels ? rest : kLinePixels, col);
                }
            }
        });
    }
}

template <typename T>
void depthwise(index_t vectors, index_t taps, const index_t* offsets, const T* x, index_t x_step,
               const T* weight, const SumsEnd<T>& end, T* y, const PixelGrid& to) {
    constexpr int lanes = kLanes<T>;
    const index_t cols = vectors * lanes;
    for_tiles_of_line<T>(
        vectors, to.width, [&]<int pixels, int width>(index_t first, index_t count, index_t col) {
            const T* pixel[pixels];
#pragma GCC unroll 16
            for (int i = 0; i < pixels; ++i) {
                pixel[i] = x + (first + (i < count ? i : count - 1)) * x_step + col;
            }
            Vec<T> sum[pixels][width] = {};
            const T* tap = weight + col;
            for (index_t t = 0; t < taps; ++t, tap += cols) {
                Vec<T> w[width];
#pragma GCC unroll 8
                for (int v = 0; v < width; ++v) w[v] = load(tap + v * lanes);
#pragma GCC unroll 16
                for (int i = 0; i < pixels; ++i) {
                    const T* from = pixel[i] + offsets[t];
#pragma GCC unroll 8
                    for (int v = 0; v < width; ++v) {
                        add_product(sum[i][v], load(from + v * lanes), w[v]);
                    }
                }
            }
            const T* bias = end.bias + col;
#pragma GCC unroll 16
            for (int i = 0; i < pixels; ++i) {
                T* out = y + (first + (i < count ? i : count - 1)) * to.step + col;
#pragma GCC unroll 8
                for (int v = 0; v < width; ++v) {
                    store(out + v * lanes, ended<T>(sum[i][v], end, bias + v * lanes,
                                                    static_cast<const T*>(nullptr)));
                }
            }
        });
}

template <typename T>
void largest(index_t vectors, index_t taps, const index_t* offsets, const T* x, index_t x_step,
             T* y, const PixelGrid& to) {
    for (index_t i = 0; i < to.width; ++i, x += x_step, y += to.step) {
        for (index_t j = 0; j < vectors * kLanes<T>; j += kLanes<T>) {
            Vec<T> most = load(x + offsets[0] + j);
            for (index_t t = 1; t < taps; ++t) {
                const Vec<T> other = load(x + offsets[t] + j);
                // Neither larger nor smaller nor equal is NaN, which stays.
                most = most >= other ? most : (most != most ? most : other);
            }
            store(y + j, most);
        }
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
    .largest = largest<T>,
    .scale_rows = scale_rows<T>,
    .add_rows = add_rows<T>,
};

}  // namespace

const Topic<ChannelsLastKernels> channels_last_kernels = {kKernels<float>, kKernels<double>};

}  // namespace pocketcnn::POCKETCNN_ISA
