// Activations and their gradients, element by element.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn {

template <typename T>
struct ActivationKernels {
    struct Function {
        /// y[i] = f(x[i])
        void (*value)(index_t size, T parameter, const T* x, T* y);
        /// dx[i] of dy[i] and of x[i] or y[i], as activate_backward has it.
        void (*gradient)(index_t size, T parameter, const T* dy, const T* kept, T* dx);
    };
    /// In the order of pocketcnn/activation.h.
    Function functions[11];

    /// The sum of dy[i] * x[i] where x[i] is not above zero, as `sum` of elementwise.h adds.
    double (*prelu_slope)(index_t size, const T* dy, const T* x);
};

}  // namespace pocketcnn
