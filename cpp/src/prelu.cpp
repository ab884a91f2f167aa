#include <pocketcnn/prelu.h>

#include <algorithm>
#include <vector>

#include "activation_kernels.h"
#include "runtime/cut.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn {
namespace {

/// Elements of a piece, which has one slope and a sum of its own.
constexpr index_t kPiece = 1 << 14;
/// Pieces below this size are not worth the call of a kernel.
constexpr index_t kFew = 8;

/// The planes of all channels, each in pieces.
class Pieces {
  public:
    explicit Pieces(const ChannelShape& shape)
        : shape_(shape), parts_(Split::at_most(shape.plane, kPiece)) {}

    index_t count() const { return shape_.n * shape_.channels * parts_.count; }
    index_t channel(index_t piece) const { return piece / parts_.count % shape_.channels; }

    /// Runs body(piece, begin, size) for every piece; small ones are many to a task.
    template <typename Body>
    void run(double cost, Body&& body) const {
        if (count() == 0) return;
        const index_t longest = parts_.length(parts_.count - 1);
        const double work = cost * static_cast<double>(longest);
        parallel_ranges(count(), std::max<index_t>(1, kPiece / longest), work,
                        [&](index_t first, index_t last) {
                            for (index_t i = first; i < last; ++i) {
                                const index_t plane = i / parts_.count, part = i % parts_.count;
                                const index_t begin = plane * shape_.plane + parts_.begin(part);
                                body(i, begin, parts_.length(part));
                            }
                        });
    }

  private:
    ChannelShape shape_;
    Split parts_;
};

}  // namespace

template <typename T>
void prelu(const T* x, const ChannelShape& shape, const T* slopes, T* y) {
    const auto leak = kernels_of<T>(Activation::leaky_relu).value;
    const Pieces pieces(shape);
    pieces.run(1, [&](index_t piece, index_t begin, index_t size) {
        const T slope = slopes[pieces.channel(piece)];
        if (size >= kFew) return leak(size, slope, x + begin, y + begin);
        for (index_t i = begin; i < begin + size; ++i) y[i] = x[i] <= 0 ? x[i] * slope : x[i];
    });
}

template <typename T>
void prelu_backward(const T* dy, const T* x, const ChannelShape& shape, const T* slopes, T* dx,
                    T* dslopes) {
    const auto leak = kernels_of<T>(Activation::leaky_relu).gradient;
    const auto slope_sum = kernels<T>().activation.prelu_slope;
    const Pieces pieces(shape);
    const Buffer<double> sums(pieces.count());
    pieces.run(3, [&](index_t piece, index_t begin, index_t size) {
        const T slope = slopes[pieces.channel(piece)];
        if (size >= kFew) {
            leak(size, slope, dy + begin, x + begin, dx + begin);
            sums[piece] = slope_sum(size, dy + begin, x + begin);
            return;
        }
        double sum = 0;
        for (index_t i = begin; i < begin + size; ++i) {
            dx[i] = x[i] <= 0 ? dy[i] * slope : dy[i];
            if (!(x[i] > 0)) sum += static_cast<double>(dy[i] * x[i]);
        }
        sums[piece] = sum;
    });
    std::vector<double> totals(static_cast<std::size_t>(shape.channels));
    for (index_t i = 0; i < pieces.count(); ++i) totals[pieces.channel(i)] += sums[i];
    for (index_t c = 0; c < shape.channels; ++c) dslopes[c] = static_cast<T>(totals[c]);
}

#define POCKETCNN_INSTANTIATE(T)                                      \
    template void prelu(const T*, const ChannelShape&, const T*, T*); \
    template void prelu_backward(const T*, const T*, const ChannelShape&, const T*, T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
