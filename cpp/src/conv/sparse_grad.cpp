#include "conv/sparse_grad.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv {
namespace {

/// An image with the zeros around it, in which every patch is whole.
template <typename T>
class PaddedImage {
  public:
    explicit PaddedImage(const Problem& problem)
        : problem_(problem),
          rows_(problem.x.h + problem.window.pad_top + problem.window.pad_bottom),
          cols_(problem.x.w + problem.window.pad_left + problem.window.pad_right),
          data_(problem.channels * rows_ * cols_ + kPackSlack) {
        std::fill_n(data_.data(), problem.channels * rows_ * cols_ + kPackSlack, T{0});
    }

    void load(const T* image) {
        const Shape4& x = problem_.x;
        T* to = data_.data() + problem_.window.pad_top * cols_ + problem_.window.pad_left;
        for (index_t c = 0; c < problem_.channels; ++c, image += x.plane(), to += rows_ * cols_) {
            kernels<T>().copy_rows(x.h, x.w, image, x.w, to, cols_, 1);
        }
    }
    const T* data() const { return data_.data(); }

    /// Where the patch of each result begins.
    std::vector<index_t> patches() const {
        std::vector<index_t> places;
        for (index_t y = 0; y < problem_.y.h; ++y) {
            for (index_t x = 0; x < problem_.y.w; ++x) {
                places.push_back(y * problem_.window.stride_h * cols_ +
                                 x * problem_.window.stride_w);
            }
        }
        return places;
    }
    /// Where each row of a patch begins, from the patch's beginning.
    std::vector<index_t> patch_rows() const {
        std::vector<index_t> offsets;
        for (index_t c = 0; c < problem_.channels; ++c) {
            for (index_t ky = 0; ky < problem_.window.kernel_h; ++ky) {
                offsets.push_back((c * rows_ + ky * problem_.window.dilation_h) * cols_);
            }
        }
        return offsets;
    }

  private:
    const Problem& problem_;
    index_t rows_, cols_;
    Buffer<T> data_;
};

}  // namespace

bool sparse_grad_suits(const Problem& problem, index_t values) {
    // A row of the patch takes kPatchCols multiplications a value, instead of kernel_w a result.
    // Patches lie across the lines of the cache, and each is found through its place: 1.7 times as
    // fast where the multiplications are 2.5 times fewer.
    constexpr double gain = 1.5;
    const Window2d& window = problem.window;
    return problem.groups == 1 && window.dilation_w == 1 && window.kernel_w <= kPatchCols &&
           static_cast<double>(problem.y.plane() * window.kernel_w) >=
               gain * static_cast<double>(values * kPatchCols);
}

template <typename T>
void sparse_weight_grad(const Problem& problem, index_t count, const T* dy, const index_t* places,
                        const T* x, T* dweight) {
    const Kernels<T>& kernel = kernels<T>();
    PaddedImage<T> image(problem);
    const std::vector<index_t> patches = image.patches(), rows = image.patch_rows();
    const index_t row_count = problem.channels * problem.window.kernel_h;
    const index_t sum_size = row_count * kPatchCols, kernel_w = problem.window.kernel_w;
    const Buffer<T> sums(problem.filters * sum_size);
    std::fill_n(sums.data(), problem.filters * sum_size, T{0});
    const double work =
        static_cast<double>(problem.filters * count) * static_cast<double>(sum_size);
    for (index_t n = 0; n < problem.x.n; ++n) {
        image.load(x + n * problem.x.image());
        parallel_for(problem.filters, work, [&](index_t f) {
            const index_t first = (n * problem.filters + f) * count;
            if (!kernel.sparse_grad(count, dy + first, places + first, problem.y.plane(),
                                    patches.data(), row_count, rows.data(), image.data(),
                                    sums.data() + f * sum_size)) {
                throw std::invalid_argument("argmax has an index outside the plane");
            }
        });
    }
    for (index_t row = 0; row < problem.filters * row_count; ++row) {
        std::copy_n(sums.data() + row * kPatchCols, kernel_w, dweight + row * kernel_w);
    }
}

#define POCKETCNN_INSTANTIATE(T)                                                                  \
    template void sparse_weight_grad(const Problem&, index_t, const T*, const index_t*, const T*, \
                                     T*);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv
