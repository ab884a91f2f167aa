// The table of inner loops that each instruction set exports: function pointers and the sizes
// that go with them. Every kernel is written once, in the .inl files beside this one, and
// compiled once an instruction set. Kernels know nothing of threads and allocate nothing.
#pragma once

#include <pocketcnn/types.h>

#include <cstdint>

#include "kernels/winograd.h"

namespace pocketcnn {

/// A stretch of consecutive lanes of a packed panel that are consecutive in the source too.
struct LaneRun {
    index_t source;  ///< offset of the first lane's element, before a tap's own offset
    index_t lane;    ///< first lane
    index_t count;   ///< lanes in the run, at least 1
};

/// Lengths that packing may read or write past the end of an array, in elements.
inline constexpr index_t kPackSlack = 64;

/// Blocks of pooling windows, alike in consecutive planes, all of whose taps lie inside the image:
/// tap (ky, kx) of window (row, i) is element row * row_step + i * stride + ky * step_y +
/// kx * step_x, and its result element row * y_step + i; the next plane's are x_plane and y_plane
/// further. From the first of each on, x_room elements of the input may be read and y_room of the
/// result written; what lies between the windows' results is left undefined.
struct PoolBlock {
    index_t planes, x_plane, y_plane;
    index_t rows, count;
    index_t row_step, stride;
    index_t taps_y, taps_x;
    index_t step_y, step_x;
    index_t y_step;
    index_t x_room, y_room;
};

/// One plane (rows, cols) under average pooling's windows: window q along an axis starts at
/// q * stride - pad. Sizes are checked by the caller.
template <typename T>
struct AveragePlane {
    index_t rows, cols, out_rows, out_cols;
    index_t taps_y, taps_x, stride_y, stride_x, pad_y, pad_x;
    const T* row_lengths;  ///< [out_rows]: a window's divisor is the product of its lengths
    const T* col_lengths;  ///< [out_cols], readable kPackSlack further
    T* shares;             ///< scratch for the windows that could cover an element and kPackSlack
                           ///< more; as many windows before it as overlap must be zero
    index_t dy_room, dx_room;  ///< elements that may be read and written from their starts on
};

/// A plane of rows x count windows of 2x2 pixels that cover a plane of 2 rows x 2 count without a
/// gap or an overlap. From their starts on, values_room elements of the windows' arrays may be
/// read and out_room pixels written, in order.
struct HalvedPlane {
    index_t rows, count;
    index_t values_room, out_room;
};

/// A mean, and the sum of the squared deviations from it.
struct Moments {
    double mean, squares;
};

struct TwoSums {
    double first, second;
};

/// y = (x - mean) * scale + shift, and zero where that is negative if `rectify`.
template <typename T>
struct ChannelNorm {
    T mean, scale, shift;
    bool rectify;
};

/// dx = dy * dy' + x * (x' - mean) + constant, where dy' is the gradient, zero where the output was
/// rectified, and x' the input.
template <typename T>
struct ChannelGrad {
    T dy, x, constant;
};

/// Local response normalisation of some consecutive pixels of all channels, which lie `plane`
/// apart: s = k + share * sum of x^2 over a window of channels, those from `before` ahead of a
/// channel to `after` behind it.
template <typename T>
struct ResponseStrip {
    index_t channels, plane, pixels;
    index_t before, after;
    T k, share, beta;
};

/// What a tile of a product asks for besides its operands: an element at each step of the depth,
/// `step` apart. It reads none of them.
template <typename T>
struct PanelAhead {
    const T* data;
    index_t step;
};

/// The tile of the indirect product for right panels of a certain width.
template <typename T>
struct IndirectTile {
    /// Rows of the tile: a divisor of kIndirectRowsMultiple, or none if there is no such tile.
    index_t rows;
    /// tile[rows][cols] (+)= sum over k < depth of left[row_offsets[i] + depth_offsets[k]] *
    /// right[k][cols] for rows i. Asks for what follows the right panel, but reads none of it.
    void (*multiply)(index_t depth, const T* left, const index_t* row_offsets,
                     const index_t* depth_offsets, const T* right, const PanelAhead<T>& ahead,
                     T* tile, bool accumulate);
};
inline constexpr index_t kIndirectRowsMultiple = 24;
/// The widest right panel of any instruction set, in vectors.
inline constexpr index_t kIndirectVectors = 4;

/// A product whose right operand and result are rows in memory. Panels of the left are
/// `left_stride` apart; there are at least as many columns as a register tile has.
struct RowProduct {
    index_t rows, cols, depth;
    index_t left_stride, right_stride, y_stride;
};

/// Rows of x and of w, `depth` elements each, whose dot products form a block of y.
struct DotBlock {
    index_t rows, cols, depth;
    index_t x_stride, w_stride, y_stride;
};

/// Patches are copied in pieces of so many elements, or of a vector where that is shorter.
inline constexpr index_t kPatchPiece = 8;

/// Gradients of some results of some filters: value i of filter f, at f * stride + i, belongs to
/// the patch that begins at places[f * stride + i]. Patches and sums have `width` elements, whole
/// vectors.
template <typename T>
struct SparseGrad {
    index_t filters, count, stride, width;
    const T* values;
    const std::int32_t* places;
};

/// Rows of a depthwise convolution of one plane: row r of the output is the sum over the taps
/// (ky, kx) of weight[ky * weight_step + kx] times the elements from
/// source[(r * stride_y + ky) * pitch + offsets[kx]] on. What is read past a row's last element
/// does not show.
struct DepthwiseRows {
    index_t rows, cols;
    index_t taps_y, taps_x, stride_y;  ///< as has_depthwise says; taps_x may be any
    index_t pitch;
    const index_t* offsets;  ///< [taps_x]
    index_t weight_step;
    index_t step;  ///< from a row of the output to the next
    index_t room;  ///< elements of the output that may be written from its start on, in order
};

/// Whether the kernels have loops for so many rows of taps and this stride between rows.
inline constexpr index_t kDepthwiseTaps = 7;
constexpr bool has_depthwise(index_t taps_y, index_t stride_y) {
    return taps_y <= kDepthwiseTaps &&
           (stride_y == 1 || (stride_y == 2 && taps_y % 2 == 1 && taps_y > 1));
}

/// Rows of `count` elements, `step` apart, of which `room` elements may be read from the first on,
/// and where they go: rows `to_step` apart, zeros behind them up to a vector or two.
struct RowCopy {
    index_t rows, count, step, room, to_step;
};

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

/// The kernels that write or read where the maxima of windows were.
template <typename T, typename Place>
struct MaxPoolKernels {
    /// The first maximum (or first NaN) of each window and its place in its plane: x is the first
    /// window's first tap, whose own place is `place`.
    void (*max_pool)(const PoolBlock& block, const T* x, index_t place, T* y, Place* argmax);
    /// out, zero, then out[places[i]] += values[i] in order. False, leaving the rest undone, where
    /// a place is outside the out_size elements.
    bool (*scatter)(index_t size, const T* values, const Place* places, index_t out_size, T* out);
    /// The same for windows that each have their place inside them. False, leaving the plane
    /// unfinished, where one has not.
    bool (*unpool_halved)(const HalvedPlane& plane, const T* values, const Place* places, T* out);
};

template <typename T>
struct Kernels {
    /// Tile of the matrix product: `rows` x `cols` accumulators in registers.
    index_t rows;
    index_t cols;

    /// tile[rows][cols] (+)= sum over k < depth of left[k][rows] * right[k][cols].
    void (*multiply)(index_t depth, const T* left, const T* right, const PanelAhead<T>& ahead,
                     T* tile, bool accumulate);

    /// y[r * y_stride + c] = sum over k < depth of left[k][r] * right[k * right_stride + c], where
    /// left is a panel for every `rows` rows. Nothing but these elements of right is read.
    void (*multiply_rows)(const RowProduct& size, const T* left, const T* right, T* y);

    /// out[r * out_stride + c] = tile[r][c] + bias[r] for r < rows, c < cols; bias may be null.
    /// Rows of the tile are `cols` of the table apart.
    void (*store_tile)(index_t rows, index_t cols, const T* tile, const T* bias, T* out,
                       index_t out_stride);

    /// Tiles of the indirect product by the vectors of their right panel, less one.
    IndirectTile<T> indirect[kIndirectVectors];

    /// out[c * out_stride + r] = tile[r * tile_stride + c] + bias[c] for r < rows, c < cols; bias
    /// may be null. Reads whole vectors of the tile's rows.
    void (*store_transposed)(index_t rows, index_t cols, const T* tile, index_t tile_stride,
                             const T* bias, T* out, index_t out_stride);

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

    WinogradKernels<T> winograd;
    /// Most rows that one call of correlate or correlate_grad takes.
    index_t direct_rows;
    /// Lanes of one vector.
    index_t lanes;

    /// out[r * out_stride + p] = bias[r] + sum over k < taps of weights[k * rows + r] *
    /// source[offsets[k] + p] for r < rows and p < pixels, in sums of some hundred taps. Adds to
    /// what is in out where bias is null. Reads the source up to a vector past the last pixel.
    void (*correlate)(index_t rows, index_t pixels, index_t taps, const index_t* offsets,
                      const T* weights, const T* bias, const T* source, T* out, index_t out_stride);

    /// sums[r][k][p % lanes] += dy[r * dy_stride + p] * source[offsets[k] + p] for r < rows,
    /// k < taps and p < pixels. Multiplies up to a vector of the source past them by zero.
    void (*correlate_grad)(index_t rows, index_t pixels, index_t taps, const T* dy,
                           index_t dy_stride, const index_t* offsets, const T* source, T* sums);

    /// to[i * width + r * length + j] = source[i * step + offsets[r] + j] for i < count, r < rows
    /// and j < length, and one behind them. Up to a piece is written past j = length - 1, which
    /// must not reach the next patch; reads up to kPackSlack elements past the last.
    void (*copy_patches)(index_t count, index_t step, index_t rows, index_t length,
                         const index_t* offsets, const T* source, index_t width, T* to);
    /// to[i] = (places[i] - firsts[i]) * factor. False where a difference is not in
    /// [0, limits[i]).
    bool (*relative_places)(index_t count, const std::int32_t* places, const std::int32_t* firsts,
                            const std::int32_t* limits, std::int32_t factor, std::int32_t* to);
    /// sums[f] += the sum over the values of filter f of each times its patch.
    void (*sparse_grad)(const SparseGrad<T>& grad, const T* patches, T* sums);

    /// Each row of y is start + the sum over its taps. Rows are written in order, and vectors run
    /// over their ends where there is room. Asks for what lies from `ahead` on, but reads none.
    void (*depthwise)(const DepthwiseRows& rows, const T* weight, T start, const T* source,
                      const T* ahead, T* y);
    /// sums[kx][ky][lane] += the sum over the rows of dy times what tap (ky, kx) sees. Whole
    /// vectors of dy are read, up to one less an element past the end of the last row.
    void (*depthwise_grad)(const DepthwiseRows& rows, const T* dy, const T* source, const T* ahead,
                           T* sums);
    /// Element i of a row goes to place i.
    void (*copy_plane)(const RowCopy& copy, const T* from, T* to);
    /// Elements 2 i go to even[i], elements 2 i + 1 to odd[i].
    void (*split_plane)(const RowCopy& copy, const T* from, T* even, T* odd);
    /// Element i goes to place 2 i, between zeros.
    void (*spread_plane)(const RowCopy& copy, const T* from, T* to);

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
    /// to[offsets[r] + c] += tile[r * tile_stride + c] for r < rows, c < cols, row by row. Whole
    /// vectors are read and written, the last ones' other elements as they were.
    void (*add_rows)(index_t rows, index_t cols, const T* tile, index_t tile_stride,
                     const index_t* offsets, T* to);
    /// y[i] = a[i] + b[i], and zero where that is negative if `rectify`.
    void (*add_two)(index_t size, const T* a, const T* b, bool rectify, T* y);
    /// The sum of x, in a fixed order, accumulated in lanes that are joined in double after some
    /// hundred additions.
    double (*sum)(index_t size, const T* x);

    void (*relu)(index_t size, const T* x, T* y);
    void (*relu_grad)(index_t size, const T* dy, const T* y, T* dx);

    /// y[r][c] += the dot product of row r of x with row c of w.
    void (*dots)(const DotBlock& block, const T* x, const T* w, T* y);
    /// y[r * y_stride + c] = sum over k of x[r * x_stride + k] * w[k * stride + c], c < cols.
    void (*few_rows_sums)(index_t rows, index_t cols, index_t depth, const T* x, index_t x_stride,
                          const T* w, index_t stride, T* y, index_t y_stride);

    void (*sigmoid)(index_t size, const T* x, T* y);
    void (*sigmoid_grad)(index_t size, const T* dy, const T* y, T* dx);
    void (*tanh)(index_t size, const T* x, T* y);
    void (*tanh_grad)(index_t size, const T* dy, const T* y, T* dx);

    void (*exp)(index_t size, const T* x, T* y);
    /// y[i] = exp(x[i] - shift); gives the sum of y.
    double (*exp_minus)(index_t size, const T* x, T shift, T* y);
    /// The largest element, NaN where there is one; size is at least 1.
    T (*largest)(index_t size, const T* x);
    /// The sum of x[i] * y[i], accumulated like sum.
    double (*dot)(index_t size, const T* x, const T* y);
    /// y[i] = x[i] * factor
    void (*scale)(index_t size, const T* x, T factor, T* y);
    /// y[i] = x[i] - first - second
    void (*subtract)(index_t size, const T* x, T first, T second, T* y);
    /// dx[i] = y[i] * (dy[i] - mean)
    void (*scale_centred)(index_t size, const T* dy, const T* y, T mean, T* dx);

    MaxPoolKernels<T, index_t> max_pool;
    /// For results that stay inside the library, where half of the memory does.
    MaxPoolKernels<T, std::int32_t> narrow_max_pool;
    /// Each window's sum divided by the divisor; step_x must be 1.
    void (*average_pool)(const PoolBlock& block, const T* x, T divisor, T* y);
    /// y[p] = the sum of plane p's `size` elements, divided by the divisor.
    void (*average_planes)(index_t planes, index_t size, const T* x, T divisor, T* y);
    /// dx[y][x] = the sum over the windows that cover it of dy / divisor.
    void (*average_pool_grad)(const AveragePlane<T>& plane, const T* dy, T* dx);

    /// size is at least 1.
    Moments (*moments)(index_t size, const T* x);
    void (*normalize)(const ChannelNorm<T>& norm, index_t size, const T* x, T* y);
    /// Sums of dy and of dy * (x - mean); dy counts as zero where the output was rectified.
    TwoSums (*normalize_sums)(const ChannelNorm<T>& norm, index_t size, const T* dy, const T* x);
    void (*normalize_grad)(const ChannelNorm<T>& norm, const ChannelGrad<T>& grad, index_t size,
                           const T* dy, const T* x, T* dx);
    /// y = x * s^-beta. False where an s is not finite, as of values whose squares overflow.
    bool (*response_norm)(const ResponseStrip<T>& strip, const T* x, T* y);
    /// `recent` is scratch for as many rows of pixels, each rounded up to whole vectors, as the
    /// window has channels. False where an s is not finite.
    bool (*response_norm_grad)(const ResponseStrip<T>& strip, const T* dy, const T* x, T* recent,
                               T* dx);

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
