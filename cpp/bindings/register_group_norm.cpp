#include <pocketcnn/group_norm.h>

#include "arrays.h"
#include "channels.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

/// gamma and beta have an element per channel; the groups divide the channels.
template <typename T>
GroupNorm<T> group_norm_of(const Array<T>& gamma, const Array<T>& beta, const ChannelShape& shape,
                           index_t groups, double eps) {
    require_shape(gamma, Shape{shape.channels}, "gamma");
    require_shape(beta, Shape{shape.channels}, "beta");
    if (groups < 1 || shape.channels % groups != 0) {
        throw py::value_error("groups must divide the channels");
    }
    return {groups, gamma.data(), beta.data(), eps};
}

template <typename T>
void define_group_norm(py::module_& module) {
    module.def(
        "group_norm",
        [](const Array<T>& x, const Array<T>& gamma, const Array<T>& beta, index_t groups,
           double eps) {
            const ChannelShape shape = channel_shape(x);
            const GroupNorm<T> norm = group_norm_of(gamma, beta, shape, groups, eps);
            Array<T> y = new_array_like(x);
            Array<double> mean = new_array<double>({shape.n, groups});
            Array<double> variance = new_array<double>({shape.n, groups});
            double *to_mean = mean.mutable_data(), *to_variance = variance.mutable_data();
            T* out = y.mutable_data();
            {
                const WithoutGil released;
                group_norm(x.data(), shape, norm, to_mean, to_variance, out);
            }
            return py::make_tuple(y, mean, variance);
        },
        py::arg("x").noconvert(), py::arg("gamma").noconvert(), py::arg("beta").noconvert(),
        py::arg("groups"), py::arg("eps"));
    module.def(
        "group_norm_backward",
        [](const Array<T>& grad, const Array<T>& x, const Array<T>& gamma, const Array<T>& beta,
           const Array<double>& mean, const Array<double>& variance, index_t groups, double eps) {
            require_shape(grad, shape_of(x), "grad");
            const ChannelShape shape = channel_shape(x);
            const GroupNorm<T> norm = group_norm_of(gamma, beta, shape, groups, eps);
            require_shape(mean, Shape{shape.n, groups}, "mean");
            require_shape(variance, Shape{shape.n, groups}, "variance");
            const ChannelStatistics statistics = {mean.data(), variance.data()};
            Array<T> dx = new_array_like(x), dgamma = new_array_like(gamma);
            Array<T> dbeta = new_array_like(beta);
            T *to = dx.mutable_data(), *to_gamma = dgamma.mutable_data();
            T* to_beta = dbeta.mutable_data();
            {
                const WithoutGil released;
                group_norm_backward(grad.data(), x.data(), shape, norm, statistics, to, to_gamma,
                                    to_beta);
            }
            return py::make_tuple(dx, dgamma, dbeta);
        },
        py::arg("grad").noconvert(), py::arg("x").noconvert(), py::arg("gamma").noconvert(),
        py::arg("beta").noconvert(), py::arg("mean").noconvert(), py::arg("variance").noconvert(),
        py::arg("groups"), py::arg("eps"));
}

}  // namespace

void register_group_norm(py::module_& module) {
    POCKETCNN_FOR_TYPES(define_group_norm, module);
}

}  // namespace pocketcnn::bindings
