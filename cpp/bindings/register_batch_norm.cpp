#include <pocketcnn/batch_norm.h>

#include "arrays.h"
#include "channels.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

/// gamma and beta have an element per channel.
template <typename T>
BatchNorm<T> batch_norm(const Array<T>& gamma, const Array<T>& beta, const ChannelShape& shape,
                        double eps, bool rectify) {
    require_shape(gamma, Shape{shape.channels}, "gamma");
    require_shape(beta, Shape{shape.channels}, "beta");
    return {gamma.data(), beta.data(), eps, rectify};
}

ChannelStatistics given(const Array<double>& mean, const Array<double>& variance,
                        const ChannelShape& shape) {
    require_shape(mean, Shape{shape.channels}, "mean");
    require_shape(variance, Shape{shape.channels}, "variance");
    return {mean.data(), variance.data()};
}

template <typename T>
void define_batch_norm(py::module_& module) {
    module.def(
        "batch_norm_train",
        [](const Array<T>& x, const Array<T>& gamma, const Array<T>& beta, double eps,
           bool rectify) {
            const ChannelShape shape = channel_shape(x);
            const BatchNorm<T> norm = batch_norm(gamma, beta, shape, eps, rectify);
            Array<T> y = new_array_like(x);
            Array<double> mean(shape.channels), variance(shape.channels);
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            T* out = y.mutable_data();
            {
                const WithoutGil released;
                batch_norm_train(x.data(), shape, norm, to_mean, to_variance, out);
            }
            return py::make_tuple(y, mean, variance);
        },
        py::arg("x").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
        py::arg("eps"), py::arg("rectify"));
    module.def(
        "batch_norm_infer",
        [](const Array<T>& x, const Array<T>& gamma, const Array<T>& beta,
           const Array<double>& mean, const Array<double>& variance, double eps, bool rectify) {
            const ChannelShape shape = channel_shape(x);
            const BatchNorm<T> norm = batch_norm(gamma, beta, shape, eps, rectify);
            const ChannelStatistics statistics = given(mean, variance, shape);
            Array<T> y = new_array_like(x);
            T* out = y.mutable_data();
            const WithoutGil released;
            batch_norm_infer(x.data(), shape, norm, statistics, out);
            return y;
        },
        py::arg("x").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
        py::arg("mean").noconvert(), py::arg("variance").noconvert(), py::arg("eps"),
        py::arg("rectify"));
    module.def(
        "batch_norm_backward",
        [](const Array<T>& grad, const Array<T>& x, const Array<T>& gamma, const Array<T>& beta,
           const Array<double>& mean, const Array<double>& variance, double eps, bool rectify,
           bool training) {
            require_shape(grad, shape_of(x), "grad");
            const ChannelShape shape = channel_shape(x);
            const BatchNorm<T> norm = batch_norm(gamma, beta, shape, eps, rectify);
            const ChannelStatistics statistics = given(mean, variance, shape);
            Array<T> dx = new_array_like(x), dgamma = new_array_like(gamma);
            Array<T> dbeta = new_array_like(beta);
            T *to = dx.mutable_data(), *to_gamma = dgamma.mutable_data();
            T* to_beta = dbeta.mutable_data();
            {
                const WithoutGil released;
                batch_norm_backward(grad.data(), x.data(), shape, norm, statistics, training, to,
                                    to_gamma, to_beta);
            }
            return py::make_tuple(dx, dgamma, dbeta);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("gamma").noconvert(),
        py::arg("beta").noconvert(), py::arg("mean").noconvert(), py::arg("variance").noconvert(),
        py::arg("eps"), py::arg("rectify"), py::arg("training"));
}

}  // namespace

void register_batch_norm(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_batch_norm, module);
}

}  // namespace pocketcnn::bindings
