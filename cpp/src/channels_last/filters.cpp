#include "channels_last/filters.h"

#include <algorithm>

namespace pocketcnn::channels_last {

template <typename T>
Filters<T>::Filters(const T* weight, const T* bias, index_t count, index_t depth,
                    const Epilogue& epilogue)
    : depth_(depth), packed_({kernels<T>(), count}, depth), bias_(panels().padded_cols()) {
    for (index_t p = 0; p < panels().count(); ++p) {
        kernels<T>().packing.pack_columns(depth, panels().length(p), panels().width(p),
                                          weight + panels().begin(p) * depth, depth,
                                          packed_.data(p));
    }
    std::fill_n(bias_.data(), panels().padded_cols(), T{0});
    if (bias != nullptr) std::copy_n(bias, count, bias_.data());
    if (const auto bounds = bounds_of<T>(epilogue)) {
        bounds_ = *bounds;
    } else {
        last_ = conv::LastStep<T>(epilogue);
    }
}

template <typename T>
void Filters<T>::multiply(index_t p, index_t count, const T* x, const PixelGrid& from,
                          const ElementRuns& runs, const T* addend, T* y,
                          const PixelGrid& to) const {
    kernels<T>().channels_last.multiply(count, panels().vectors(p), x, from, runs, panel(p),
                                        end(p, addend), y, to);
    for (index_t i = 0; i < count; i += to.width, y += to.line) {
        finish(p, std::min(to.width, count - i), y, to);
    }
}

template class Filters<float>;
template class Filters<double>;

}  // namespace pocketcnn::channels_last
