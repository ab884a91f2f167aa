// The gradient of the bias from the sums of dy's planes.
#pragma once

#include <pocketcnn/types.h>

namespace pocketcnn::conv {

/// dbias[f] = the sum of plane_sums (images, filters) over the images.
template <typename T>
void add_planes(const Shape4& dy, const double* plane_sums, T* dbias) {
    for (index_t f = 0; f < dy.c; ++f) {
        double sum = 0;
        for (index_t n = 0; n < dy.n; ++n) sum += plane_sums[n * dy.c + f];
        dbias[f] = static_cast<T>(sum);
    }
}

}  // namespace pocketcnn::conv
