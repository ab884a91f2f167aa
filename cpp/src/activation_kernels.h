// The kernels of an activation by its name.
#pragma once

#include <pocketcnn/activation.h>

#include <iterator>

#include "runtime/isa.h"

namespace pocketcnn {

template <typename T>
const typename ActivationKernels<T>::Function& kernels_of(Activation f) {
    const ActivationKernels<T>& all = kernels<T>().activation;
    static_assert(std::size(decltype(all.functions){}) == kActivations);
    return all.functions[static_cast<int>(f)];
}

}  // namespace pocketcnn
