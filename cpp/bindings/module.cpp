#include "gil.h"
#include "register.h"

PYBIND11_MODULE(_core, module) {
    using namespace pocketcnn::bindings;
    prepare_interpreter();
    module.doc() = "The native operations. pocketcnn.functional checks arguments and calls them.";
    register_activation(module);
    register_conv2d(module);
    register_conv_block(module);
    register_im2col(module);
    register_linear(module);
    register_normalization(module);
    register_optimizer(module);
    register_pool2d(module);
    register_runtime(module);
    register_softmax(module);
}
