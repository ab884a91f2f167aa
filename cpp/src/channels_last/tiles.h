// Convolutions by tiles of six points (conv/winograd/) whose images have their channels together,
// or are planes, at either end: it is the same to the tiles.
#pragma once

#include "channels_last/filters.h"
#include "conv/winograd/geometry.h"

namespace pocketcnn::channels_last {

/// A convolution of one group that the algorithm `winograd` fits, without a stride, and an
/// activation that bounds_of knows.
template <typename T>
struct TiledConvolution {
    Shape4 image;  ///< one, of what goes in
    Conv2d conv;
    const T *weight, *bias;  ///< bias may be null
    const KeptWeights<T>* kept;
    Epilogue epilogue;
    bool from_planes = false, to_planes = false;  ///< how x and y lie
    bool pools = false;  ///< whether y is the largest of each two by two results
};

/// Whether tiles may pool their results, of which y is the shape then: if they yield an even number
/// along both axes.
inline bool may_pool(const Conv2d& conv) {
    const winograd::Taps taps(conv.window);
    return taps.step_h() % 2 == 0 && taps.step_w() % 2 == 0;
}

/// y = the convolution of n images, + addend before the activation. The addend, which may be null,
/// lies as y does; with planes or pooled results there is none, and with planes no other activation
/// than ReLU.
template <typename T>
void convolve(const TiledConvolution<T>& layer, const T* x, index_t n, const T* addend, T* y);

}  // namespace pocketcnn::channels_last
