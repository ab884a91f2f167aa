// The table of inner loops that each instruction set exports: function pointers and the sizes
// that go with them. Every kernel is written once, in the .inl files beside this one, and
// compiled once an instruction set. Kernels know nothing of threads and allocate nothing.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

/// A stretch of consecutive lanes of a packed panel that are consecutive in the source too.
struct LaneRun {
    index_t source;  ///< offset of the first lane's element, before a tap's own offset
    index_t lane;    ///< first lane
    index_t count;   ///< lanes in the run, at least 1
};

/// Lengths that packing may read or write past the end of an array, in elements.
inline constexpr index_t kPackSlack = 64;

struct SgdStep {
    double lr, momentum, weight_decay;
    bool nesterov;
};

struct AdaGradStep {
    double lr, eps, weight_decay;
};

struct RmsPropStep {
    double lr, alpha, eps, weight_decay;
};

/// p = p * keep - step_size * m / (sqrt(v) * inverse_correction + eps), after the moments took
/// g = grad + weight_decay * p.
struct AdamStep {
    double beta1, beta2, eps, weight_decay;
    double keep, step_size, inverse_correction;
};

template <typename T>
struct Kernels {
    /// Tile of the matrix product: `rows` x `cols` accumulators in registers.
    index_t rows;
    index_t cols;

    /// tile[rows][cols] (+)= sum over k < depth of left[k][rows] * right[k][cols].
    void (*multiply)(index_t depth, const T* left, const T* right, T* tile, bool accumulate);

    /// out[r * out_stride + c] = tile[r][c] + bias[r] for r < rows, c < cols; bias may be null.
    /// Rows of the tile are `cols` of the table apart.
    void (*store_tile)(index_t rows, index_t cols, const T* tile, const T* bias, T* out,
                       index_t out_stride);

    /// panel[k][lane] = source[k * depth_stride + lane], lane < lanes <= width; the other lanes
    /// of the panel are zero.
    void (*pack_rows)(index_t depth, index_t lanes, index_t width, const T* source,
                      index_t depth_stride, T* panel);

    /// panel[k][lane] = source[lane * lane_stride + k], zero for lanes <= lane < width: a
    /// transpose. Writes up to kPackSlack elements past the panel.
    void (*pack_columns)(index_t depth, index_t lanes, index_t width, const T* source,
                         index_t lane_stride, T* panel);

    /// panel[k][run.lane + i] = source[offsets[k] + run.source + i] for each run. Runs are in
    /// order of their lanes. Reads and writes up to kPackSlack elements past the last lane.
    void (*pack_runs)(index_t depth, const index_t* offsets, const LaneRun* runs, index_t run_count,
                      index_t width, const T* source, T* panel);

    /// Most rows that one call of correlate or correlate_grad takes.
    index_t direct_rows;
    /// Lanes of one vector.
    index_t lanes;

    /// out[r * out_stride + p] = bias[r] + sum over k < taps of weights[k * rows + r] *
    /// source[offsets[k] + p] for r < rows and p < pixels. Adds to what is in out where bias is
    /// null. Reads the source up to a vector past the last pixel.
    void (*correlate)(index_t rows, index_t pixels, index_t taps, const index_t* offsets,
                      const T* weights, const T* bias, const T* source, T* out, index_t out_stride);

    /// sums[r][k][p % lanes] += dy[r * dy_stride + p] * source[offsets[k] + p] for r < rows,
    /// k < taps and p < pixels. Multiplies up to a vector of the source past them by zero.
    void (*correlate_grad)(index_t rows, index_t pixels, index_t taps, const T* dy,
                           index_t dy_stride, const index_t* offsets, const T* source, T* sums);

    /// to[i] = the sum of the lanes of sums[i], i < size.
    void (*fold_lanes)(index_t size, const T* sums, T* to);

    /// Rows of `width` elements, one after the other: `before` zeros, then `count` elements of a
    /// row of the source, every stride-th, then zeros. Writes up to kPackSlack elements past them.
    void (*pad_rows)(index_t rows, index_t before, index_t count, index_t width, const T* from,
                     index_t from_stride, index_t stride, T* to);

    /// to[r * to_stride + i * step] = from[r * from_stride + i] for r < rows, i < count.
    void (*copy_rows)(index_t rows, index_t count, const T* from, index_t from_stride, T* to,
                      index_t to_stride, index_t step);

    /// y[i] += x[i]
    void (*add)(index_t size, const T* x, T* y);
    /// The sum of x, in a fixed order, accumulated in lanes.
    double (*sum)(index_t size, const T* x);

    void (*relu)(index_t size, const T* x, T* y);
    void (*relu_grad)(index_t size, const T* dy, const T* y, T* dx);

    void (*sgd)(const SgdStep& step, index_t size, const T* grad, T* velocity, T* param);
    void (*adagrad)(const AdaGradStep& step, index_t size, const T* grad, T* square_sum, T* param);
    void (*rmsprop)(const RmsPropStep& step, index_t size, const T* grad, T* square_average,
                    T* param);
    void (*adam)(const AdamStep& step, index_t size, const T* grad, T* m, T* v, T* param);
};

struct KernelTable {
    const char* name;
    Kernels<float> f32;
    Kernels<double> f64;
};

#if defined(__x86_64__)
namespace avx512 {
const KernelTable& kernel_table();
}
namespace avx2 {
const KernelTable& kernel_table();
}
#endif
namespace baseline {
const KernelTable& kernel_table();
}

}  // namespace pocketcnn
