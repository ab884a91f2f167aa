// Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its
// gradients. Images are (n, c, h, w); weights are (filters, c / groups, kh, kw).
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

#include <vector>

namespace pocketcnn {

/// A way of computing a pass, or what asks for one of several. docs/ways.md has the tables of the
/// ways per pass.
enum class ConvAlgorithm {
    automatic,          ///< the first way that fits and pays
    im2col,             ///< a matrix product over packed blocks; asks for any matrix product
    winograd,           ///< tiles of six points; asks for any way that has such tiles
    winograd_parts,     ///< a long window cut into parts that a tile takes
    winograd_dilated,   ///< tiles of the images of pixels that lie a dilation apart
    depthwise,          ///< pixels in the lanes, a filter that sees one channel at a time
    direct,             ///< pixels in the lanes, nothing packed
    pointwise,          ///< a matrix product over the image itself
    pointwise_strided,  ///< the same over a copy of the pixels that are met
    few_pixels,         ///< a matrix product over packed pixels
    patches,            ///< the gradient of the input, patch by patch
    phases,             ///< the same by convolutions of dy, one per phase of the stride
    sparse,             ///< the gradient of the weights from the results that a pooling took
};

struct Conv2d {
    Window2d window;
    index_t filters = 1;
    index_t groups = 1;
    /// For each pass that has a way of this name; the others take what fits and pays.
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
};

enum class ConvPass { forward, input_grad, weight_grad };

/// "auto" for automatic, else as the enumerator.
const char* name_of(ConvAlgorithm algorithm);

/// A way of computing one pass, in words.
struct ConvWay {
    ConvAlgorithm algorithm;
    ConvAlgorithm family;  ///< that asks for it too
    const char* reason;    ///< why it is taken where it pays
    const char* takes;     ///< what it fits
    const char* pays;      ///< where it is taken
};

/// The ways of a pass in the order in which they are tried.
std::vector<ConvWay> conv2d_ways(ConvPass pass);

/// Which way computes one pass of a convolution, and why.
struct ConvPlan {
    ConvAlgorithm algorithm = ConvAlgorithm::im2col;
    const char* reason = "";
};

/// The plan for a convolution of x; throws std::invalid_argument where the sizes do not fit or
/// the algorithm asked for cannot compute it.
ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass);

/// The shape that conv2d gives for x; throws std::invalid_argument where the sizes do not fit.
Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv);
/// The shape of the weights of a convolution whose sizes fit x.
Shape4 conv2d_weight_shape(const Shape4& x, const Conv2d& conv);

/// y[n, f] = bias[f] + sum over the group's channels of the window products, and zero where that is
/// negative if `rectify`. bias may be null.
/// Overwrites y, which must have conv2d_output_shape(x.shape, conv).
template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y, bool rectify = false);

/// dx = the gradient of sum(dy * conv2d(x)) with respect to x, and zero where the gate, an array of
/// x's shape, is zero or below. The gate may be null. Overwrites dx.
template <typename T>
void conv2d_backward_input(ImageView<const T> dy, const T* weight, const Conv2d& conv,
                           ImageView<T> dx, const T* gate = nullptr);

/// dweight = the same with respect to the weights. Overwrites dweight, and dbias with what
/// conv2d_backward_bias computes: in less time, where dy is then read once. dbias may be null.
template <typename T>
void conv2d_backward_weight(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv,
                            T* dweight, T* dbias = nullptr);

/// dbias[f] = the sum of dy over images and pixels. Overwrites dbias.
template <typename T>
void conv2d_backward_bias(ImageView<const T> dy, T* dbias);

}  // namespace pocketcnn
