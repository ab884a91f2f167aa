// Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its
// gradients. Images are (n, c, h, w); weights are (filters, c / groups, kh, kw).
#pragma once

#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

namespace pocketcnn {

enum class ConvAlgorithm {
    automatic,  ///< what conv2d_plan chooses
    im2col,     ///< matrix products over packed blocks of the column matrix: fits every shape
    winograd,   ///< tiles of six points that need fewer multiplications, for small dense kernels
    direct,     ///< pixels in the vectors' lanes, nothing packed: few channels or filters
};

struct Conv2d {
    Window2d window;
    index_t filters = 1;
    index_t groups = 1;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
};

enum class ConvPass { forward, input_grad, weight_grad };

/// How one pass of a convolution is computed, and why.
struct ConvPlan {
    ConvAlgorithm algorithm = ConvAlgorithm::im2col;
    const char* reason = "";
};

/// The plan for a convolution of x; throws std::invalid_argument where the sizes do not fit or
/// the algorithm asked for cannot compute it.
ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass);

/// The shape that conv2d gives for x; throws std::invalid_argument where the sizes do not fit.
Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv);

/// y[n, f] = bias[f] + sum over the group's channels of the window products, and zero where that is
/// negative if `rectify`. bias may be null.
/// Overwrites y, which must have conv2d_output_shape(x.shape, conv).
template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y, bool rectify = false);

/// dx = the gradient of sum(dy * conv2d(x)) with respect to x, and zero where the gate, an array of
/// x's shape, is zero or below. The gate may be null. Overwrites dx.
template <typename T>
void conv2d_input_grad(ImageView<const T> dy, const T* weight, const Conv2d& conv, ImageView<T> dx,
                       const T* gate = nullptr);

/// dweight = the same with respect to the weights. Overwrites dweight, and dbias with what
/// conv2d_bias_grad computes: in less time, where dy is then read once. dbias may be null.
template <typename T>
void conv2d_weight_grad(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv, T* dweight,
                        T* dbias = nullptr);

/// dbias[f] = the sum of dy over images and pixels. Overwrites dbias.
template <typename T>
void conv2d_bias_grad(ImageView<const T> dy, T* dbias);

}  // namespace pocketcnn
