#include <pocketcnn/cross_entropy.h>

#include "arrays.h"
#include "register.h"

namespace pocketcnn::bindings {
namespace {

void define_cross_entropy(py::module_& module) {
    const auto define = [&module](auto&& of_target) {
        module.def("cross_entropy", of_target, py::arg("logits"), py::arg("target"),
                   py::arg("label_smoothing"));
    };
    define([](const Floats& logits, const Array<index_t>& labels, double label_smoothing) {
        require_matrix(logits);
        require_shape(labels, Shape{logits.shape(0)}, "target");
        Floats dlogits = new_like(logits);
        double loss = 0;
        compute(logits, [&]<typename T>() {
            loss = cross_entropy<T>(matrix<T>(logits), labels.data(), label_smoothing,
                                    dlogits.mutable_data<T>());
        });
        return results({py::float_(loss), dlogits});
    });
    define([](const Floats& logits, const Floats& target, double label_smoothing) {
        require_matrix(logits);
        require_shape(target, shape_of(logits), "target");
        Floats dlogits = new_like(logits);
        double loss = 0;
        compute(logits, [&]<typename T>() {
            loss = cross_entropy<T>(matrix<T>(logits), target.data<T>(), label_smoothing,
                                    dlogits.mutable_data<T>());
        });
        return results({py::float_(loss), dlogits});
    });
}

}  // namespace

void register_cross_entropy(py::module_& module) {
    define_cross_entropy(module);
}

}  // namespace pocketcnn::bindings
