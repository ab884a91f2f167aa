// The kernels of the six-point Winograd (Toom-Cook) convolution, as the table exports them. Their
// names and layouts:
//
//   position   a pixel (Y, X) of LaneImages, all lanes of it
//   lanes      a vector's worth of channels (or filters), kernels.lanes of them
//   strip      a rectangle of positions, [row][col][lanes]
//   tile       six by six positions that one transform reads; where the window has a single tap
//              along an axis, six in a line along the other
//   point      one of the 36 (or 6) products that a tile needs per channel and filter
//   panel      the filters that one product tile covers: one or more vectors
#pragma once

#include <pocketcnn/types.h>

#include "kernels/channels_last.h"

namespace pocketcnn {

inline constexpr index_t kWinogradTile = 6;
inline constexpr index_t kWinogradPoints = kWinogradTile * kWinogradTile;
/// The longest kernel, a phase, for which one tile serves.
inline constexpr index_t kWinogradMostTaps = 5;

/// Points along an axis of so many taps, or of so many results a tile: for one there is nothing to
/// transform.
constexpr index_t winograd_points(index_t count) {
    return count == 1 ? 1 : kWinogradTile;
}

/// Images read (or written) as if each had lanes() channels: lane (c, py, px) of position (Y, X)
/// is the pixel (stride_h * Y + py - top, stride_w * X + px - left) of channel c, and zero
/// outside. With this a strided convolution is one of stride 1 over the phases (Decomposable
/// Winograd Method, arXiv 2002.00552).
template <typename T>
struct LaneImages {
    T* data;        ///< the first image
    const T* end;   ///< past the last element that may be read
    index_t image;  ///< distance between images
    index_t channels, h, w;
    index_t stride_h = 1, stride_w = 1;
    index_t top = 0, left = 0;
    /// From one pixel to the next where the channels of a pixel lie together, filled up to whole
    /// vectors; such images have one phase. 0 for planes.
    index_t pitch = 0;

    index_t phases() const { return stride_h * stride_w; }
    index_t lanes() const { return channels * phases(); }
};

struct Region {
    index_t y, x, rows, cols;
};

/// Where the maxima of each two by two positions are.
inline Region halved(const Region& region) {
    return {region.y / 2, region.x / 2, region.rows / 2, region.cols / 2};
}

/// Results that become zero on their way into an image: with `own`, negative ones; with `other`,
/// the data of an image laid out like theirs, those where that is zero or below.
template <typename T>
struct Gate {
    bool own = false;
    const T* other = nullptr;
};

/// Where consecutive tiles put their points: tile i at
/// i / panel_tiles * panel + i % panel_tiles * tile, plus `point` a point.
struct TilePlaces {
    index_t panel_tiles, panel, tile, point;

    index_t offset(index_t i) const { return i / panel_tiles * panel + i % panel_tiles * tile; }
};

template <typename T>
struct WinogradKernels {
    /// Channels that share a vector.
    index_t lanes;
    /// Tiles that one product covers, and the most vectors of filters.
    index_t rows, vectors;
    /// Channels that one product of the weights' gradient with v vectors of filters covers, a
    /// divisor of lanes, is grad_rows[v - 1]; the most vectors of filters.
    index_t grad_rows[3], grad_vectors;

    /// strip = the region's positions of image n, lanes [lane, lane + kernels.lanes); lanes that
    /// the images lack are zero. What lies `ahead` elements further will be gathered next.
    void (*gather)(const LaneImages<const T>& images, index_t n, index_t lane, const Region& region,
                   index_t ahead, T* strip);
    /// The reverse: positions and lanes outside of the images are left out. Takes a gate where
    /// there is one phase.
    void (*scatter)(const LaneImages<T>& images, index_t n, index_t lane, const Region& region,
                    const Gate<T>& gate, const T* strip);

    /// Announces a scatter of lanes [lane, lane_end).
    void (*prefetch)(const LaneImages<T>& images, index_t n, index_t lane, index_t lane_end,
                     const Region& region, const Gate<T>& gate);
    /// The same where the channels of a pixel lie together. The bias is not looked at.
    void (*gather_together)(const LaneImages<const T>& images, index_t n, index_t lane,
                            const Region& region, T* strip);
    void (*scatter_together)(const LaneImages<T>& images, index_t n, index_t lane,
                             const Region& region, const SumsEnd<T>& end, const T* strip);
    /// The same with the largest of each two by two positions, NaN if one is.
    void (*scatter_maxima)(const LaneImages<T>& images, index_t n, index_t lane,
                           const Region& region, const SumsEnd<T>& end, const T* strip);
    void (*prefetch_together)(const LaneImages<T>& images, index_t n, index_t lane,
                              index_t lane_end, const Region& region);

    /// The input transform of a row of tiles: tile j starts at column j * step of the strip,
    /// whose rows are `pitch` positions apart, and is tile first + j of the places.
    /// transform[h > 1][w > 1]: of tiles of h x w points. There is none for 1 x 1.
    using Transform = void (*)(index_t tiles, index_t step, index_t pitch, const T* strip,
                               index_t first, const TilePlaces& places, T* points);
    Transform transform[2][2];
    /// evaluate[h - 1][w - 1]: polynomials of h x w coefficients at the points: filters, or tiles
    /// of dy. Tile j starts at position j * step. There is none for 1 x 1.
    Transform evaluate[kWinogradMostTaps][kWinogradMostTaps];
    /// collect[h - 1][w - 1]: the transposed evaluation without its scale, which takes points to
    /// h x w results; bias is one vector or null. Whether all results are finite; where they are
    /// very large it may say that they are not.
    bool (*collect[kWinogradMostTaps][kWinogradMostTaps])(index_t tiles, index_t step,
                                                          index_t pitch, const T* points,
                                                          index_t first, const TilePlaces& places,
                                                          const T* bias, T* strip);

    /// Rows that multiply computes, of a panel of `rows`; the last is all of them.
    index_t heights[3];
    /// multiply[v - 1][h]: out[i][f] = sum over k < depth of left[k / lanes][i][k % lanes] *
    /// right[k][f] for i < heights[h], f < v * lanes. left_stride is one k / lanes.
    void (*multiply[2][3])(index_t depth, const T* left, index_t left_stride, const T* right,
                           T* out);
    /// accumulate[v - 1]: out[i * out_stride + f] (+)= sum over t < depth of left[t * lanes + i] *
    /// right[t][f] for i < grad_rows[v - 1], f < v * lanes.
    void (*accumulate[3])(index_t depth, const T* left, const T* right, T* out, index_t out_stride,
                          bool add);
};

}  // namespace pocketcnn
