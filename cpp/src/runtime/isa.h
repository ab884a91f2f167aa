// Which instruction set's kernels run.
#pragma once

#include "kernels/kernel_table.h"

namespace pocketcnn {

/// The kernels in use, for float or double. Throws std::invalid_argument if POCKETCNN_ISA names an
/// instruction set that does not exist or that this machine does not have.
template <typename T>
const Kernels<T>& kernels();

}  // namespace pocketcnn
