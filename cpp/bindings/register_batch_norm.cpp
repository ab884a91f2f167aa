#include <pocketcnn/batch_norm.h>
#include <pybind11/stl.h>

#include <limits>
#include <optional>

#include "arrays.h"
#include "channels.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

constexpr double kNoCeiling = std::numeric_limits<double>::infinity();

template <typename T>
BatchNorm<T> batch_norm(const Floats& gamma, const Floats& beta, double eps, bool rectify,
                        double ceiling) {
    return {gamma.data<T>(), beta.data<T>(), eps, rectify, ceiling};
}

void define_batch_norm(py::module_& module) {
    module.def(
        "batch_norm_train",
        [](const Floats& x, const Floats& gamma, const Floats& beta, double eps, bool rectify,
           double ceiling) {
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            Floats y = new_like(x);
            Array<double> mean(shape.channels), variance(shape.channels);
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            compute(x, [&]<typename T>() {
                batch_norm_train(x.data<T>(), shape,
                                 batch_norm<T>(gamma, beta, eps, rectify, ceiling), to_mean,
                                 to_variance, y.mutable_data<T>());
            });
            return results({y, mean, variance});
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("eps"), py::arg("rectify"),
        py::arg("ceiling"));
    module.def(
        "batch_norm_infer",
        [](const Floats& x, const Floats& gamma, const Floats& beta, const Array<double>& mean,
           const Array<double>& variance, double eps, bool rectify, double ceiling) {
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.channels});
            Floats y = new_like(x);
            compute(x, [&]<typename T>() {
                batch_norm_infer(x.data<T>(), shape,
                                 batch_norm<T>(gamma, beta, eps, rectify, ceiling), statistics,
                                 y.mutable_data<T>());
            });
            return y;
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"), py::arg("variance"),
        py::arg("eps"), py::arg("rectify"), py::arg("ceiling"));
    module.def(
        "batch_norm_backward",
        [](const Floats& grad, Floats x, const Floats& gamma, const Floats& beta,
           const Array<double>& mean, const Array<double>& variance, double eps, bool rectify,
           double ceiling, bool training, bool over_x) {
            require_shape(grad, shape_of(x), "grad");
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.channels});
            Floats dx = over_x ? x : new_like(x), dgamma = new_like(gamma), dbeta = new_like(beta);
            compute(grad, [&]<typename T>() {
                batch_norm_backward(grad.data<T>(), x.data<T>(), shape,
                                    batch_norm<T>(gamma, beta, eps, rectify, ceiling), statistics,
                                    training, dx.mutable_data<T>(), dgamma.mutable_data<T>(),
                                    dbeta.mutable_data<T>());
            });
            return results({dx, dgamma, dbeta});
        },
        py::arg("grad"), py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::arg("eps"), py::arg("rectify"), py::arg("ceiling"),
        py::arg("training"), py::arg("over_x"));
}

/// Normalisation at the end of a residual block; the gradient of x takes its place, and that of the
/// sum the place of `more`.
void define_batch_norm_add(py::module_& module) {
    module.def(
        "batch_norm_add_train",
        [](const Floats& x, const Floats& added, const Floats& gamma, const Floats& beta,
           double eps, bool rectify) {
            const ChannelShape shape = channel_shape(x);
            require_shape(added, shape_of(x), "added");
            require_affine(gamma, beta, shape);
            Floats y = new_like(x);
            Array<double> mean(shape.channels), variance(shape.channels);
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            compute(x, [&]<typename T>() {
                batch_norm_add_train(x.data<T>(), added.data<T>(), shape,
                                     batch_norm<T>(gamma, beta, eps, rectify, kNoCeiling), to_mean,
                                     to_variance, y.mutable_data<T>());
            });
            return results({y, mean, variance});
        },
        py::arg("x"), py::arg("added"), py::arg("gamma"), py::arg("beta"), py::arg("eps"),
        py::arg("rectify"));
    module.def(
        "batch_norm_add_backward",
        [](const Floats& grad, const Floats& y, Floats x, const Floats& gamma, const Floats& beta,
           const Array<double>& mean, const Array<double>& variance, double eps,
           std::optional<Floats> more) {
            require_shape(grad, shape_of(x), "grad");
            require_shape(y, shape_of(x), "y");
            if (more) require_shape(*more, shape_of(x), "more");
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.channels});
            Floats dsum = more ? *more : new_like(x);
            Floats dgamma = new_like(gamma), dbeta = new_like(beta);
            compute(grad, [&]<typename T>() {
                batch_norm_add_backward(grad.data<T>(), y.data<T>(), x.data<T>(), shape,
                                        batch_norm<T>(gamma, beta, eps, true, kNoCeiling),
                                        statistics, dsum.mutable_data<T>(), x.mutable_data<T>(),
                                        dgamma.mutable_data<T>(), dbeta.mutable_data<T>(),
                                        more ? more->data<T>() : nullptr);
            });
            return results({dsum, x, dgamma, dbeta});
        },
        py::arg("grad"), py::arg("y"), py::arg("x"), py::arg("gamma"), py::arg("beta"),
        py::arg("mean"), py::arg("variance"), py::arg("eps"), py::arg("more") = py::none());
}

}  // namespace

void register_batch_norm(py::module_& module) {
    define_batch_norm(module);
    define_batch_norm_add(module);
}

}  // namespace pocketcnn::bindings
