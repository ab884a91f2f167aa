#include <pocketcnn/batch_norm.h>

#include "arrays.h"
#include "channels.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

template <typename T>
BatchNorm<T> batch_norm(const Floats& gamma, const Floats& beta, double eps, bool rectify) {
    return {gamma.data<T>(), beta.data<T>(), eps, rectify};
}

void define_batch_norm(py::module_& module) {
    module.def(
        "batch_norm_train",
        [](const Floats& x, const Floats& gamma, const Floats& beta, double eps, bool rectify) {
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            Floats y = new_like(x);
            Array<double> mean(shape.channels), variance(shape.channels);
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            compute(x, [&]<typename T>() {
                batch_norm_train(x.data<T>(), shape, batch_norm<T>(gamma, beta, eps, rectify),
                                 to_mean, to_variance, y.mutable_data<T>());
            });
            return results({y, mean, variance});
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("eps"), py::arg("rectify"));
    module.def(
        "batch_norm_infer",
        [](const Floats& x, const Floats& gamma, const Floats& beta, const Array<double>& mean,
           const Array<double>& variance, double eps, bool rectify) {
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.channels});
            Floats y = new_like(x);
            compute(x, [&]<typename T>() {
                batch_norm_infer(x.data<T>(), shape, batch_norm<T>(gamma, beta, eps, rectify),
                                 statistics, y.mutable_data<T>());
            });
            return y;
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"), py::arg("variance"),
        py::arg("eps"), py::arg("rectify"));
    module.def(
        "batch_norm_backward",
        [](const Floats& grad, const Floats& x, const Floats& gamma, const Floats& beta,
           const Array<double>& mean, const Array<double>& variance, double eps, bool rectify,
           bool training) {
            require_shape(grad, shape_of(x), "grad");
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.channels});
            Floats dx = new_like(x), dgamma = new_like(gamma), dbeta = new_like(beta);
            compute(grad, [&]<typename T>() {
                batch_norm_backward(grad.data<T>(), x.data<T>(), shape,
                                    batch_norm<T>(gamma, beta, eps, rectify), statistics, training,
                                    dx.mutable_data<T>(), dgamma.mutable_data<T>(),
                                    dbeta.mutable_data<T>());
            });
            return results({dx, dgamma, dbeta});
        },
        py::arg("grad"), py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::arg("eps"), py::arg("rectify"), py::arg("training"));
}

}  // namespace

void register_batch_norm(py::module_& module) {
    define_batch_norm(module);
}

}  // namespace pocketcnn::bindings
