// The fused convolution between lanes: used for the forward pass and for the gradient of the input.
#pragma once

#include "conv/winograd/filters.h"
#include "conv/winograd/spoiled.h"

namespace pocketcnn::winograd {

/// A convolution of stride 1: result position (Y, X) is the sum over the taps (a, b) of the
/// filters times source position (Y + a, X + b).
template <typename T>
struct LaneConvolution {
    LaneImages<const T> source;
    LaneImages<T> result;
    Grid grid;
    Taps taps;
    Gate<T> gate = {};  ///< of the results, where they are planes
    /// What becomes of results whose channels lie together; the bias is not looked at.
    SumsEnd<T> end = {};
    /// Of these results the largest of each two by two is kept, and `result` is of those. Steps of
    /// the grid are even.
    bool pools = false;
};

/// bias has one element per lane of the result, or is null. Marks images with results that are not
/// finite.
template <typename T>
void convolve(const LaneConvolution<T>& convolution, const Filters<T>& filters, const T* bias,
              const SpoiledPart& spoiled);

}  // namespace pocketcnn::winograd
