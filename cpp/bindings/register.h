// The table of contents of the module: one function per topic.
#pragma once

#include <pybind11/pybind11.h>

namespace pocketcnn::bindings {

void register_activation(pybind11::module_& module);
void register_batch_norm(pybind11::module_& module);
void register_column_matrix(pybind11::module_& module);
void register_conv2d(pybind11::module_& module);
void register_conv_block(pybind11::module_& module);
void register_conv_transpose2d(pybind11::module_& module);
void register_depthwise_block(pybind11::module_& module);
void register_cross_entropy(pybind11::module_& module);
void register_group_norm(pybind11::module_& module);
void register_linear(pybind11::module_& module);
void register_local_response_norm(pybind11::module_& module);
void register_optimizer(pybind11::module_& module);
void register_pool2d(pybind11::module_& module);
void register_runtime(pybind11::module_& module);
void register_session(pybind11::module_& module);
void register_softmax(pybind11::module_& module);
void register_upsample2d(pybind11::module_& module);
void register_window2d(pybind11::module_& module);

}  // namespace pocketcnn::bindings
