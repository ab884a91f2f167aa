#include <pocketcnn/depthwise_block.h>
#include <pybind11/stl.h>

#include <tuple>

#include "arrays.h"
#include "geometry.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

/// gamma, beta, eps, rectify, ceiling.
using BatchNormArguments = std::tuple<Floats, Floats, double, bool, double>;

template <typename T>
BatchNorm<T> batch_norm(const BatchNormArguments& norm) {
    const auto& [gamma, beta, eps, rectify, ceiling] = norm;
    return {gamma.data<T>(), beta.data<T>(), eps, rectify, ceiling};
}

/// A block's arguments but for x, all of which have an element, or a row of weights, per channel.
struct DepthwiseArguments {
    const BatchNormArguments& before;
    const Floats& weight;
    const std::optional<Floats>& bias;
    const BatchNormArguments& behind;
    const Conv2d& conv;

    /// The shape of the output; refuses arguments that do not fit x.
    Shape4 output_shape(const Shape4& x) const {
        const Shape4 y = conv2d_output_shape(x, conv);
        if (y.c != x.c) throw py::value_error("a depthwise block has a filter per channel");
        require_shape(weight, conv2d_weight_shape(x, conv), "weight");
        if (bias) require_shape(*bias, Shape{x.c}, "bias");
        for (const BatchNormArguments* norm : {&before, &behind}) {
            require_shape(std::get<0>(*norm), Shape{x.c}, "gamma");
            require_shape(std::get<1>(*norm), Shape{x.c}, "beta");
        }
        return y;
    }

    template <typename T>
    DepthwiseBlock<T> block() const {
        return {conv, weight.data<T>(), data_or_null<T>(bias), batch_norm<T>(before),
                batch_norm<T>(behind)};
    }
};

/// The rows of a matrix (4, channels).
template <typename Number>
DepthwiseStatistics<Number> statistics_of(Number* rows, index_t channels) {
    return {rows, rows + channels, rows + 2 * channels, rows + 3 * channels};
}

py::tuple block_of_channels(const Floats& x, const BatchNormArguments& before, const Floats& weight,
                            const std::optional<Floats>& bias, const BatchNormArguments& behind,
                            const Conv2d& conv) {
    const DepthwiseArguments arguments = {before, weight, bias, behind, conv};
    Floats y = new_image(x, arguments.output_shape(shape4(x)));
    Array<double> statistics = new_array<double>({4, x.shape(1)});
    const auto to = statistics_of(statistics.mutable_data(), x.shape(1));
    compute(x, [&]<typename T>() {
        depthwise_block<T>(image<T>(x), arguments.block<T>(), to, mutable_image<T>(y));
    });
    return results({y, statistics});
}

/// The gradient of x takes its place.
py::tuple gradients_of_channels(const Floats& grad, Floats x, const BatchNormArguments& before,
                                const Floats& weight, const std::optional<Floats>& bias,
                                const BatchNormArguments& behind, const Conv2d& conv,
                                const Array<double>& statistics) {
    const DepthwiseArguments arguments = {before, weight, bias, behind, conv};
    require_shape(grad, arguments.output_shape(shape4(x)), "grad");
    const index_t channels = x.shape(1);
    require_shape(statistics, Shape{4, channels}, "statistics");
    const auto from = statistics_of(statistics.data(), channels);
    Floats dweight = new_like(weight), dbias = new_floats(x, {channels});
    Floats before_gamma = new_like(dbias), before_beta = new_like(dbias);
    Floats behind_gamma = new_like(dbias), behind_beta = new_like(dbias);
    compute(grad, [&]<typename T>() {
        depthwise_block_backward<T>(
            image<T>(grad), image<T>(x), arguments.block<T>(), from,
            {x.mutable_data<T>(), dweight.mutable_data<T>(), dbias.mutable_data<T>(),
             before_gamma.mutable_data<T>(), before_beta.mutable_data<T>(),
             behind_gamma.mutable_data<T>(), behind_beta.mutable_data<T>()});
    });
    return results({x, before_gamma, before_beta, dweight, dbias, behind_gamma, behind_beta});
}

}  // namespace

void register_depthwise_block(py::module_& module) {
    module.def("depthwise_block", &block_of_channels, py::arg("x"), py::arg("before"),
               py::arg("weight"), py::arg("bias"), py::arg("behind"), py::arg("conv"));
    module.def("depthwise_block_backward", &gradients_of_channels, py::arg("grad"), py::arg("x"),
               py::arg("before"), py::arg("weight"), py::arg("bias"), py::arg("behind"),
               py::arg("conv"), py::arg("statistics"));
}

}  // namespace pocketcnn::bindings
