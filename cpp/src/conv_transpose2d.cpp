#include <pocketcnn/batch_norm.h>
#include <pocketcnn/conv_transpose2d.h>

#include <vector>

namespace pocketcnn {

template <typename T>
void conv_transpose2d(ImageView<const T> x, const T* weight, const T* bias, const Conv2d& conv,
                      ImageView<T> y) {
    conv2d_backward_input<T>(x, weight, conv, y);
    if (bias == nullptr) return;
    // The bias as the shift of a normalisation that changes nothing else.
    const auto channels = static_cast<std::size_t>(y.shape.c);
    const std::vector<T> scales(channels, T{1});
    const std::vector<double> means(channels, 0), variances(channels, 1);
    batch_norm_infer<T>(y.data, {y.shape.n, y.shape.c, y.shape.plane()}, {scales.data(), bias, 0},
                        {means.data(), variances.data()}, y.data);
}

template <typename T>
void conv_transpose2d_backward_weight(ImageView<const T> dy, ImageView<const T> x,
                                      const Conv2d& conv, T* dweight, T* dbias) {
    conv2d_backward_weight<T>(x, dy, conv, dweight);
    conv2d_backward_bias<T>(dy, dbias);
}

#define POCKETCNN_INSTANTIATE(T)                                                           \
    template void conv_transpose2d(ImageView<const T>, const T*, const T*, const Conv2d&,  \
                                   ImageView<T>);                                          \
    template void conv_transpose2d_backward_weight(ImageView<const T>, ImageView<const T>, \
                                                   const Conv2d&, T*, T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn
