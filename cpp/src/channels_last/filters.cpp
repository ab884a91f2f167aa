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
    if (epilogue.activation == Activation::relu) {
        low_ = 0;
    } else if (epilogue.activation == Activation::relu6) {
        low_ = 0;
        high_ = 6;
    } else {
        last_ = conv::LastStep<T>(epilogue);
    }
}

template class Filters<float>;
template class Filters<double>;

}  // namespace pocketcnn::channels_last
