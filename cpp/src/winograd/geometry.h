// A convolution and its gradients as stride-1 convolutions between lanes: which pixels the lanes
// are, where the tiles lie, and how many taps a phase has.
#pragma once

#include <algorithm>

#include "conv/problem.h"
#include "winograd/tiles.h"

namespace pocketcnn::winograd {

/// Taps of one phase, along one axis: a stride of s leaves every s-th tap to each of s phases.
inline index_t phase_taps(index_t kernel, index_t stride) {
    return ceil_div(kernel, stride);
}

/// The taps of a phase in the order of the filters' transform.
struct Taps {
    index_t h, w;

    explicit Taps(const Window2d& window)
        : h(phase_taps(window.kernel_h, window.stride_h)),
          w(phase_taps(window.kernel_w, window.stride_w)) {}
    index_t count() const { return h * w; }
    /// Results that a tile yields.
    index_t step_h() const { return kWinogradTile + 1 - h; }
    index_t step_w() const { return kWinogradTile + 1 - w; }
};

/// One group's channels of x as the lanes that a convolution of stride 1 sees.
template <typename T>
LaneImages<T> phases_of_input(const conv::Problem& problem, T* data, index_t group) {
    const Window2d& w = problem.window;
    return {.data = data + group * problem.channels * problem.x.plane(),
            .end = data + problem.x.size(),
            .image = problem.x.image(),
            .channels = problem.channels,
            .h = problem.x.h,
            .w = problem.x.w,
            .stride_h = w.stride_h,
            .stride_w = w.stride_w,
            .top = w.pad_top,
            .left = w.pad_left};
}

/// One group's part of y, or of its gradient, that starts `before_h` rows and `before_w` columns
/// late.
template <typename T>
LaneImages<T> lanes_of_output(const conv::Problem& problem, T* data, index_t group,
                              index_t before_h = 0, index_t before_w = 0) {
    return {.data = data + group * problem.filters * problem.y.plane(),
            .end = data + problem.y.size(),
            .image = problem.y.image(),
            .channels = problem.filters,
            .h = problem.y.h,
            .w = problem.y.w,
            .top = before_h,
            .left = before_w};
}

/// Tiles whose results cover y.
inline Grid output_grid(const conv::Problem& problem) {
    const Taps taps(problem.window);
    return {problem.y.n,
            ceil_div(problem.y.h, taps.step_h()),
            ceil_div(problem.y.w, taps.step_w()),
            taps.step_h(),
            taps.step_w(),
            0,
            0};
}

/// Tiles whose results cover the phases of x.
inline Grid input_grid(const conv::Problem& problem) {
    const Taps taps(problem.window);
    const Window2d& w = problem.window;
    const index_t y = w.pad_top / w.stride_h, x = w.pad_left / w.stride_w;
    const index_t y_end = (w.pad_top + problem.x.h - 1) / w.stride_h + 1;
    const index_t x_end = (w.pad_left + problem.x.w - 1) / w.stride_w + 1;
    return {problem.x.n,
            ceil_div(y_end - y, taps.step_h()),
            ceil_div(x_end - x, taps.step_w()),
            taps.step_h(),
            taps.step_w(),
            y,
            x};
}

/// One axis of a mosaic: images whose neighbours share the zeros between them.
struct MosaicAxis {
    /// `size` pixels that start `before` positions late give `results` results, each of as many
    /// taps. Neighbours are so far apart that no result sees two images.
    MosaicAxis(index_t size, index_t before, index_t results, index_t taps, index_t step)
        : results(results),
          step(step),
          pitch(std::max({size, results, size + before, results + taps - 1 - before})) {}

    index_t tiles(index_t images) const { return ceil_div((images - 1) * pitch + results, step); }

    index_t results, step, pitch;
};

inline MosaicAxis mosaic_rows(const conv::Problem& problem) {
    const Taps taps(problem.window);
    return {problem.x.h, problem.window.pad_top, problem.y.h, taps.h, taps.step_h()};
}

inline MosaicAxis mosaic_cols(const conv::Problem& problem) {
    const Taps taps(problem.window);
    return {problem.x.w, problem.window.pad_left, problem.y.w, taps.w, taps.step_w()};
}

/// How the images of a batch share tiles where nothing but a sum over all of them is wanted; alone,
/// where that saves little. 13 pixels are three tiles of 4 and a pixel, but four images of 13x13,
/// two by two, are 49 tiles instead of 64. A result of their own they could not have: a tile's
/// rounding, and a value that is not finite, would reach from an image into its neighbours.
inline Mosaic mosaic_of(const conv::Problem& problem) {
    const Window2d& w = problem.window;
    const index_t images = problem.x.n;
    if (w.stride_h * w.stride_w > 1) return {images, 1, 1, problem.x.h, problem.x.w};
    const MosaicAxis y = mosaic_rows(problem), x = mosaic_cols(problem);
    constexpr index_t most = 4;
    constexpr double worth = 0.95;
    Mosaic best = {images, 1, 1, y.pitch, x.pitch};
    double fewest = worth * static_cast<double>(images * y.tiles(1) * x.tiles(1));
    for (index_t down = 1; down <= most; ++down) {
        for (index_t across = 1; across <= most; ++across) {
            const index_t tiles = ceil_div(images, down * across) * y.tiles(down) * x.tiles(across);
            if (static_cast<double>(tiles) >= fewest) continue;
            fewest = static_cast<double>(tiles);
            best = {images, down, across, y.pitch, x.pitch};
        }
    }
    return best;
}

/// Tiles whose results cover the mosaics of y.
inline Grid mosaic_grid(const conv::Problem& problem, const Mosaic& mosaic) {
    Grid grid = output_grid(problem);
    if (mosaic.size() == 1) return grid;
    grid.images = ceil_div(mosaic.images, mosaic.size());
    grid.rows = mosaic_rows(problem).tiles(mosaic.down);
    grid.cols = mosaic_cols(problem).tiles(mosaic.across);
    return grid;
}

}  // namespace pocketcnn::winograd
