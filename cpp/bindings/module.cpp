#include "gil.h"
#include "register.h"

PYBIND11_MODULE(_core_of_main_interpreter, module) {
    using namespace pocketcnn::bindings;
    prepare_interpreter();
    module.doc() = "The native operations. pocketcnn.functional checks arguments and calls them.";
    register_window2d(module);  // of which the classes of other topics consist
    register_activation(module);
    register_batch_norm(module);
    register_column_matrix(module);
    register_conv2d(module);
    register_conv_block(module);
    register_conv_transpose2d(module);
    register_depthwise_block(module);
    register_cross_entropy(module);
    register_group_norm(module);
    register_linear(module);
    register_local_response_norm(module);
    register_optimizer(module);
    register_pool2d(module);
    register_runtime(module);
    register_session(module);
    register_softmax(module);
    register_upsample2d(module);
}

/// What Python looks for. pybind11's own would wait for ever in a sub-interpreter of Python 3.11.
PYBIND11_PLUGIN_IMPL(_core) {
    if (!pocketcnn::bindings::in_main_interpreter()) return nullptr;
    return PyInit__core_of_main_interpreter();
}
