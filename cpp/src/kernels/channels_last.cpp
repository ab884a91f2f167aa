// Convolutions of images whose channels lie together.
#include "kernels/channels_last.h"

#include "kernels/sums_end.h"
#include "kernels/tile.h"
#include "kernels/topics.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

// Rows of a tile of the product by its vectors: as many accumulators as hide the latency of the
// multiply-adds, beside the vectors of the panel and one element of x.
inline constexpr int kProductRows[] = {kManyRegisters ? 12 : 8, kManyRegisters ? 12 : 6,
                                       kManyRegisters ? 8 : 4, kManyRegisters ? 6 : 0};
inline constexpr int kWidest = kManyRegisters ? 4 : 3;
// Rows that are left over are computed two at a time. Those of a tile that do not exist are the
// last one again: the same sums go to the same place.
inline constexpr int kFewRows = 2;

// Where pixels begin, one after the other.
class Places {
  public:
    explicit Places(const PixelGrid& grid) : grid_(grid), left_(grid.width) {}

    // Where `count` pixels begin; of places beyond those, the last again.
    template <int places>
    void take(index_t count, index_t (&at)[places]) {
        if (count == places && left_ > places) {
            for (int i = 0; i < places; ++i) at[i] = at_ + i * grid_.step;
            at_ += places * grid_.step;
            left_ -= places;
            return;
        }
        at[0] = next();
        for (int i = 1; i < places; ++i) at[i] = i < count ? next() : at[i - 1];
    }

  private:
    index_t next() {
        const index_t here = at_;
        at_ += grid_.step;
        if (--left_ == 0) {
            left_ = grid_.width;
            at_ += grid_.line - grid_.width * grid_.step;
        }
        return here;
    }

    const PixelGrid& grid_;
    index_t at_ = 0, left_;
};

template <typename T, int rows, int vectors>
inline void product_tile(index_t count, const T* x, Places& from, const ElementRuns& runs,
                         const T* panel, const SumsEnd<T>& end, T* y, Places& to) {
    constexpr int lanes = kLanes<T>, cols = vectors * lanes;
    index_t source[rows], target[rows];
    from.take(count, source);
    to.take(count, target);
    Vec<T> sum[rows][vectors] = {};
    for (index_t run = 0; run < runs.count; ++run) {
        const T* row[rows];
#pragma GCC unroll 16
        for (int i = 0; i < rows; ++i) row[i] = x + runs.offsets[run] + source[i];
        for (index_t k = 0; k < runs.length; ++k) {
            if constexpr (vectors > 1) prefetch_panel<T, vectors, kDepthAhead>(panel);
            Vec<T> r[vectors];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) r[v] = load(panel + v * lanes);
#pragma GCC unroll 16
            for (int i = 0; i < rows; ++i) {
                const Vec<T> l = splat(row[i][k]);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) add_product(sum[i][v], l, r[v]);
            }
            panel += cols;
        }
    }
    const Ending<T> ending(end);
    const T *bias = end.bias, *addend = end.addend;
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
        T* out = y + target[i];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) {
            Vec<T> value = sum[i][v] + load(bias + v * lanes);
            if (addend != nullptr) value += load(addend + target[i] + v * lanes);
            store(out + v * lanes, ending.of(value));
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

// One vector of channels after the other, whose weights stay in registers.
template <typename T, int rows, int cols>
void depthwise_of_size(index_t lines, index_t vectors, const Taps& taps, const T* x,
                       const PixelGrid& from, const T* weight, const SumsEnd<T>& end, T* y,
                       const PixelGrid& to) {
    constexpr int lanes = kLanes<T>;
    const index_t width = vectors * lanes, count = to.width, x_step = from.step, y_step = to.step;
    const index_t row_step = taps.row_step, col_step = taps.col_step;
    const Ending<T> ending(end);
    for (index_t c = 0; c < width; c += lanes) {
        Vec<T> w[rows * cols];
#pragma GCC unroll 32
        for (int t = 0; t < rows * cols; ++t) w[t] = load(weight + t * width + c);
        const Vec<T> bias = load(end.bias + c);
        for (index_t i = 0; i < lines; ++i) {
            const T* pixel = x + i * from.line + c;
            T* out = y + i * to.line + c;
            for (index_t left = count; left > 0; --left, pixel += x_step, out += y_step) {
                Vec<T> sum = bias;
                const T* line = pixel;
#pragma GCC unroll 8
                for (int row = 0; row < rows; ++row, line += row_step) {
#pragma GCC unroll 8
                    for (int col = 0; col < cols; ++col) {
                        sum += load(line + col * col_step) * w[row * cols + col];
                    }
                }
                store(out, ending.of(sum));
            }
        }
    }
}

// The same for windows of any size, some pixels at a time.
template <typename T>
void depthwise_of_any_size(index_t lines, index_t vectors, const Taps& taps, const T* x,
                           const PixelGrid& from, const T* weight, const SumsEnd<T>& end, T* y,
                           const PixelGrid& to) {
    constexpr int lanes = kLanes<T>, pixels = 6;
    const index_t width = vectors * lanes;
    const Ending<T> ending(end);
    for (index_t c = 0; c < width; c += lanes) {
        const Vec<T> bias = load(end.bias + c);
        Places sources(from), targets(to);
        for (index_t left = lines * to.width; left > 0; left -= pixels) {
            index_t source[pixels], target[pixels];
            sources.take(left < pixels ? left : pixels, source);
            targets.take(left < pixels ? left : pixels, target);
            Vec<T> sum[pixels] = {};
            const T* tap = weight + c;
            for (index_t row = 0; row < taps.rows; ++row) {
                const T* at = x + row * taps.row_step + c;
                for (index_t col = 0; col < taps.cols; ++col, at += taps.col_step, tap += width) {
                    const Vec<T> w = load(tap);
#pragma GCC unroll 8
                    for (int i = 0; i < pixels; ++i) add_product(sum[i], load(at + source[i]), w);
                }
            }
#pragma GCC unroll 8
            for (int i = 0; i < pixels; ++i) store(y + target[i] + c, ending.of(sum[i] + bias));
        }
    }
}

template <typename T>
void depthwise(index_t lines, index_t vectors, const Taps& taps, const T* x, const PixelGrid& from,
               const T* weight, const SumsEnd<T>& end, T* y, const PixelGrid& to) {
    auto sums = depthwise_of_any_size<T>;
    if (taps.rows == 3 && taps.cols == 3) sums = depthwise_of_size<T, 3, 3>;
    if constexpr (kManyRegisters) {
        if (taps.rows == 5 && taps.cols == 5) sums = depthwise_of_size<T, 5, 5>;
    }
    sums(lines, vectors, taps, x, from, weight, end, y, to);
}

template <typename T>
void largest(index_t lines, index_t vectors, const Taps& taps, const T* x, const PixelGrid& from,
             T* y, const PixelGrid& to) {
    Places sources(from), targets(to);
    for (index_t left = lines * to.width; left > 0; --left) {
        index_t source[1], target[1];
        sources.take(1, source);
        targets.take(1, target);
        for (index_t c = 0; c < vectors * kLanes<T>; c += kLanes<T>) {
            Vec<T> most = load(x + source[0] + c);
            for (index_t row = 0; row < taps.rows; ++row) {
                const T* at = x + source[0] + row * taps.row_step + c;
                for (index_t col = 0; col < taps.cols; ++col, at += taps.col_step) {
                    most = larger<T>(most, load(at));
                }
            }
            store(y + target[0] + c, most);
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
