// Two-dimensional convolution (cross-correlation, as in every deep-learning library) and its
// gradients. Images are (n, c, h, w); weights are (filters, c / groups, kh, kw).
#pragma once

#include <pocketcnn/activation.h>
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/types.h>
#include <pocketcnn/window2d.h>

#include <memory>
#include <optional>
#include <vector>

namespace pocketcnn {

/// An algorithm of a pass, or a name that selects one of several. docs/ways.md has the tables.
enum class ConvAlgorithm {
    automatic,           ///< the first in the table that fits and pays
    im2col,              ///< a matrix product over packed blocks; also selects any matrix product
    winograd,            ///< tiles of six points; also selects any algorithm with such tiles
    winograd_parts,      ///< a long window, cut into parts that fit a tile
    winograd_dilated,    ///< a dilated image split into images without dilation
    depthwise,           ///< pixels in the lanes; each filter sees one channel
    direct,              ///< pixels in the lanes, without packing
    pointwise,           ///< a matrix product over the image itself
    pointwise_in_place,  ///< the same without packing
    pointwise_strided,   ///< the same over a copy of the pixels that the window sees
    few_pixels,          ///< a matrix product over packed pixels
    patches,             ///< gradient of the input: patches of x are added up
    phases,              ///< gradient of the input: one convolution per phase of the stride
    sparse,              ///< gradient of the weights from only what a max pooling kept
};

struct Conv2d {
    Window2d window;
    index_t filters = 1;
    index_t groups = 1;
    /// Holds for each pass that has an algorithm of this name; other passes choose automatically.
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
};

enum class ConvPass { forward, input_grad, weight_grad };

/// "auto" for automatic, otherwise the enumerator's own name.
const char* name_of(ConvAlgorithm algorithm);

/// One algorithm of one pass, in words.
struct ConvWay {
    ConvAlgorithm algorithm;
    ConvAlgorithm family;  ///< a name that selects it too
    const char* reason;    ///< why it is faster
    const char* takes;     ///< the shapes that it computes
    const char* pays;      ///< the shapes for which it is chosen
};

/// The algorithms of a pass in the order in which they are tried.
std::vector<ConvWay> conv2d_ways(ConvPass pass);

/// Which algorithm computes one pass of a convolution, and why.
struct ConvPlan {
    ConvAlgorithm algorithm = ConvAlgorithm::im2col;
    const char* reason = "";
};

/// The plan for a convolution of x; throws std::invalid_argument if the sizes do not fit or the
/// requested algorithm cannot compute it.
ConvPlan conv2d_plan(const Shape4& x, const Conv2d& conv, ConvPass pass);

/// The shape of conv2d's result for x; throws std::invalid_argument if the sizes do not fit.
Shape4 conv2d_output_shape(const Shape4& x, const Conv2d& conv);
/// The shape of the weights of a convolution whose sizes fit x.
Shape4 conv2d_weight_shape(const Shape4& x, const Conv2d& conv);

/// Which algorithm computes a convolution whose weights are kept: the one that would without, to
/// the same bits, or the one that is fastest when the weights are ready.
enum class KeptChoice { as_without, fastest };

/// What calls with the same weights may share: the weights as the algorithms multiply them, which
/// the first call that needs a form makes. Any number of threads may use it at once.
template <typename T>
class KeptWeights {
  public:
    explicit KeptWeights(KeptChoice choice = KeptChoice::as_without);
    ~KeptWeights();
    KeptWeights(const KeptWeights&) = delete;
    KeptWeights& operator=(const KeptWeights&) = delete;

    struct Forms;
    Forms& forms() const { return *forms_; }
    KeptChoice choice() const { return choice_; }

  private:
    KeptChoice choice_;
    std::unique_ptr<Forms> forms_;
};

/// What is done with the sums of a convolution.
struct Epilogue {
    std::optional<Activation> activation;
    double parameter = 0;  ///< of the activation
};

/// y[n, f] = bias[f] + sum over the group's channels of the window products, or the activation of
/// that. bias and kept may be null; what is kept has to be of this weight and this conv. With
/// units, the images are normalised as they are read, inside the zeros around them, to the bits of
/// batch_norm_infer. Overwrites y, which must have conv2d_output_shape(x.shape, conv).
template <typename T>
void conv2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
            ImageView<T> y, const Epilogue& epilogue = {}, const KeptWeights<T>* kept = nullptr,
            const KnownNorm<T>* units = nullptr);

/// dx = the gradient of sum(dy * conv2d(x)) with respect to x. It is set to zero where the gate, an
/// array of x's shape, is zero or negative. The gate may be null. Overwrites dx.
template <typename T>
void conv2d_backward_input(ImageView<const T> dy, const T* weight, const Conv2d& conv,
                           ImageView<T> dx, const T* gate = nullptr);

/// dweight = the same with respect to the weights. Overwrites dweight, and dbias with what
/// conv2d_backward_bias computes, which is faster where dy is then read only once. dbias may be
/// null.
template <typename T>
void conv2d_backward_weight(ImageView<const T> dy, ImageView<const T> x, const Conv2d& conv,
                            T* dweight, T* dbias = nullptr);

/// Where the gradients go; dx and dbias may be null. All are overwritten.
template <typename T>
struct ConvGrads {
    T* dx;
    T* dweight;
    T* dbias;
};

/// What conv2d_backward_weight and conv2d_backward_input compute, to the same bits, at once where
/// that is faster.
template <typename T>
void conv2d_backward(ImageView<const T> dy, ImageView<const T> x, const T* weight,
                     const Conv2d& conv, const ConvGrads<T>& grads, const T* gate = nullptr);

/// dbias[f] = the sum of dy over images and pixels. Overwrites dbias.
template <typename T>
void conv2d_backward_bias(ImageView<const T> dy, T* dbias);

}  // namespace pocketcnn
