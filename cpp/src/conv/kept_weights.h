// The forms of a convolution's weights that algorithms multiply by, made at first use and kept.
#pragma once

#include <pocketcnn/conv2d.h>

#include <mutex>
#include <vector>

#include "conv/winograd/filters.h"
#include "gemm/indirect.h"
#include "gemm/matrix.h"

namespace pocketcnn {

/// A form of the weights, an element for each group, which whoever comes first makes.
template <typename Form>
class KeptForm {
  public:
    template <typename Make>
    const std::vector<Form>& get(const Make& make) {
        std::call_once(made_, [&] { forms_ = make(); });
        return forms_;
    }

  private:
    std::once_flag made_;
    std::vector<Form> forms_;
};

template <typename T>
struct KeptWeights<T>::Forms {
    KeptForm<gemm::PackedPanels<T>> columns;  ///< filters in the columns of the indirect product
    KeptForm<gemm::PackedLeft<T>> rows;       ///< filters in the rows of the plain product
    KeptForm<winograd::Filters<T>> points;    ///< transformed
};

namespace conv {

/// The weights in one of the forms: the kept one, or a new one that goes into `own`.
template <typename T, typename Form, typename Make>
const std::vector<Form>& form_of(const KeptWeights<T>* kept,
                                 KeptForm<Form> KeptWeights<T>::Forms::* form,
                                 std::vector<Form>& own, const Make& make) {
    if (kept != nullptr) return (kept->forms().*form).get(make);
    return own = make();
}

}  // namespace conv
}  // namespace pocketcnn
