#include <pocketcnn/cross_entropy.h>

#include <type_traits>

#include "arrays.h"
#include "gil.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

/// Target is index_t for labels, or T for rows of target weights.
template <typename T, typename Target>
void define_cross_entropy(py::module_& module) {
    module.def(
        "cross_entropy",
        [](const Array<T>& logits, const Array<Target>& target, double label_smoothing) {
            const MatrixView<const T> rows = matrix(logits);
            const bool labels = std::is_same_v<Target, index_t>;
            require_shape(target, labels ? Shape{rows.rows} : Shape{rows.rows, rows.cols},
                          "target");
            Array<T> dlogits = new_array_like(logits);
            T* to = dlogits.mutable_data();
            double loss = 0;
            {
                const WithoutGil released;
                loss = cross_entropy<T>(rows, target.data(), label_smoothing, to);
            }
            return py::make_tuple(loss, dlogits);
        },
        py::arg("logits").noconvert(), py::arg("target").noconvert(), py::arg("label_smoothing"));
}

}  // namespace

void register_cross_entropy(py::module_& module) {
    define_cross_entropy<float, index_t>(module);
    define_cross_entropy<float, float>(module);
    define_cross_entropy<double, index_t>(module);
    define_cross_entropy<double, double>(module);
}

}  // namespace pocketcnn::bindings
