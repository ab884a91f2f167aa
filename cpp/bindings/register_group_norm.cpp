#include <pocketcnn/group_norm.h>

#include "arrays.h"
#include "channels.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void require_groups(index_t groups, const ChannelShape& shape) {
    if (groups < 1 || shape.channels % groups != 0) {
        throw py::value_error("groups must divide the channels");
    }
}

void define_group_norm(py::module_& module) {
    module.def(
        "group_norm",
        [](const Floats& x, const Floats& gamma, const Floats& beta, index_t groups, double eps) {
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            require_groups(groups, shape);
            Floats y = new_like(x);
            Array<double> mean = new_array<double>({shape.n, groups});
            Array<double> variance = new_array<double>({shape.n, groups});
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            compute(x, [&]<typename T>() {
                const GroupNorm<T> norm = {groups, gamma.data<T>(), beta.data<T>(), eps};
                group_norm(x.data<T>(), shape, norm, to_mean, to_variance, y.mutable_data<T>());
            });
            return results({y, mean, variance});
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("groups"), py::arg("eps"));
    module.def(
        "group_norm_backward",
        [](const Floats& grad, const Floats& x, const Floats& gamma, const Floats& beta,
           const Array<double>& mean, const Array<double>& variance, index_t groups, double eps) {
            require_shape(grad, shape_of(x), "grad");
            const ChannelShape shape = channel_shape(x);
            require_affine(gamma, beta, shape);
            require_groups(groups, shape);
            const ChannelStatistics statistics =
                statistics_of(mean, variance, Shape{shape.n, groups});
            Floats dx = new_like(x), dgamma = new_like(gamma), dbeta = new_like(beta);
            compute(grad, [&]<typename T>() {
                const GroupNorm<T> norm = {groups, gamma.data<T>(), beta.data<T>(), eps};
                group_norm_backward(grad.data<T>(), x.data<T>(), shape, norm, statistics,
                                    dx.mutable_data<T>(), dgamma.mutable_data<T>(),
                                    dbeta.mutable_data<T>());
            });
            return results({dx, dgamma, dbeta});
        },
        py::arg("grad"), py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("mean"),
        py::arg("variance"), py::arg("groups"), py::arg("eps"));
}

}  // namespace

void register_group_norm(py::module_& module) {
    define_group_norm(module);
}

}  // namespace pocketcnn::bindings
