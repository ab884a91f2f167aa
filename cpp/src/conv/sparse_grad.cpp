#include "conv/sparse_grad.h"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "activation_kernels.h"
#include "gemm/long_sums.h"
#include "runtime/interrupt.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv {
namespace {

/// An image with zeros around it, in which every patch is complete.
template <typename T>
class PaddedImage {
  public:
    explicit PaddedImage(const Problem& problem)
        : problem_(problem),
          rows_(problem.x.h + problem.window.pad_top + problem.window.pad_bottom),
          cols_(problem.x.w + problem.window.pad_left + problem.window.pad_right),
          data_(problem.channels * rows_ * cols_ + kPackSlack) {
        std::fill_n(data_.data(), problem.channels * rows_ * cols_ + kPackSlack, T{0});
        for (index_t c = 0; c < problem.channels; ++c) {
            for (index_t ky = 0; ky < problem.window.kernel_h; ++ky) {
                patch_rows_.push_back((c * rows_ + ky * problem.window.dilation_h) * cols_);
            }
        }
    }

    void load(const T* image) {
        const Shape4& x = problem_.x;
        T* to = data_.data() + problem_.window.pad_top * cols_ + problem_.window.pad_left;
        for (index_t c = 0; c < problem_.channels; ++c, image += x.plane(), to += rows_ * cols_) {
            kernels<T>().copies.copy_rows(x.h, x.w, image, x.w, to, cols_, 1);
        }
    }

    /// Copies the patches of results in rows [row, end), `width` apart.
    void copy_patches(index_t row, index_t end, index_t width, T* to) const {
        const Window2d& window = problem_.window;
        for (; row < end; ++row, to += problem_.y.w * width) {
            kernels<T>().sparse.copy_patches(
                problem_.y.w, window.stride_w, static_cast<index_t>(patch_rows_.size()),
                window.kernel_w, patch_rows_.data(), data_.data() + row * window.stride_h * cols_,
                width, to);
        }
    }

  private:
    const Problem& problem_;
    index_t rows_, cols_;
    std::vector<index_t> patch_rows_;
    Buffer<T> data_;
};

/// How the rows of pooled results are cut into blocks whose patches fit the L1 cache together.
class PooledRowCut {
  public:
    PooledRowCut(index_t rows, const Shape4& y, const Window2d& window, index_t patch_bytes)
        : rows_(rows), y_rows_(y.h), window_(window) {
        constexpr index_t room = index_t{12} * 1024;
        const index_t fit = room / std::max<index_t>(1, y.w * patch_bytes);
        step_ = std::max<index_t>(1, (fit - window.span_h()) / window.stride_h + 1);
    }

    index_t blocks() const { return ceil_div(rows_, step_); }
    index_t begin(index_t block) const { return block * step_; }
    index_t end(index_t block) const { return std::min(rows_, (block + 1) * step_); }
    /// First row of the convolution's results that a block's windows see.
    index_t first(index_t block) const {
        return std::max<index_t>(0, begin(block) * window_.stride_h - window_.pad_top);
    }
    /// End of the rows that they see.
    index_t last(index_t block) const {
        const index_t last_begin = (end(block) - 1) * window_.stride_h - window_.pad_top;
        return std::min(y_rows_, std::max(first(block), last_begin + window_.span_h()));
    }
    /// Largest number of rows that a block sees.
    index_t most_rows() const { return (step_ - 1) * window_.stride_h + window_.span_h(); }

  private:
    index_t rows_, y_rows_;
    Window2d window_;
    index_t step_;
};

/// Elements of a patch, in whole vectors: its taps, a one whose sum gives the bias's gradient, and
/// room for what copying the last piece of the taps writes past them.
index_t patch_width(const Problem& problem, index_t lanes) {
    const index_t piece = std::min(lanes, kPatchPiece), kernel_w = problem.window.kernel_w;
    const index_t excess = round_up(kernel_w, piece) - kernel_w;
    return round_up(problem.taps + std::max<index_t>(1, excess), lanes);
}

/// Values per sum, of which some tens are added up in registers.
constexpr index_t kMostValues = 4096;

/// Sums over the batch for some filters.
template <typename T>
class SparseSums {
  public:
    SparseSums(const Problem& problem, const PooledGrad<T>& pooled, const T* x)
        : kernels_(kernels<T>()),
          problem_(problem),
          pooled_(pooled),
          x_(x),
          width_(patch_width(problem, kernels_.lanes)),
          rows_(pooled.shape.h, problem.y, pooled.window, width_ * index_t{sizeof(T)}) {
        for (index_t block = 0; block < rows_.blocks(); ++block) {
            const index_t count = (rows_.end(block) - rows_.begin(block)) * pooled.shape.w;
            const index_t first = rows_.first(block) * problem.y.w;
            const index_t limit = rows_.last(block) * problem.y.w - first;
            firsts_.insert(firsts_.end(), count, static_cast<std::int32_t>(first));
            limits_.insert(limits_.end(), count, static_cast<std::int32_t>(limit));
        }
    }

    void run(index_t filter, index_t filters, T* dweight, T* dbias) const {
        const index_t count = pooled_.shape.plane(), size = filters * width_;
        const index_t patches_size = rows_.most_rows() * problem_.y.w * width_ + kPackSlack;
        PaddedImage<T> image(problem_);
        const Buffer<T> values(filters * count), sums(size), patches(patches_size);
        const Buffer<std::int32_t> places(filters * count);
        std::fill_n(sums.data(), size, T{0});
        std::fill_n(patches.data(), patches_size, T{0});
        gemm::LongSums<T> totals(size, problem_.x.n * count, kMostValues);
        for (index_t n = 0; n < problem_.x.n; ++n) {
            heed_interrupt();
            image.load(x_ + n * problem_.x.image());
            gather(n * pooled_.shape.c + filter, filters, values.data(), places.data());
            for (index_t block = 0; block < rows_.blocks(); ++block) {
                image.copy_patches(rows_.first(block), rows_.last(block), width_, patches.data());
                const index_t begin = rows_.begin(block) * pooled_.shape.w;
                const index_t end = rows_.end(block) * pooled_.shape.w;
                totals.make_room(end - begin, sums.data(), size);
                kernels_.sparse.sparse_backward({filters, end - begin, count, width_,
                                                 values.data() + begin, places.data() + begin},
                                                patches.data(), sums.data());
            }
        }
        totals.finish(sums.data());
        for (index_t f = 0; f < filters; ++f) {
            std::copy_n(sums.data() + f * width_, problem_.taps,
                        dweight + (filter + f) * problem_.taps);
            dbias[filter + f] = sums[f * width_ + problem_.taps];
        }
    }

  private:
    /// Collects the values of some planes from the given one on, and their places among the patches
    /// of their blocks.
    void gather(index_t plane, index_t planes, T* values, std::int32_t* places) const {
        const index_t count = pooled_.shape.plane();
        for (index_t i = 0; i < planes; ++i, ++plane, values += count, places += count) {
            const T* dy = pooled_.dy + plane * count;
            if (pooled_.rectified != nullptr) {
                kernels_of<T>(Activation::relu)
                    .gradient(count, T{0}, dy, pooled_.rectified + plane * count, values);
            } else {
                std::copy_n(dy, count, values);
            }
            if (!kernels_.sparse.relative_places(count, pooled_.argmax + plane * count,
                                                 firsts_.data(), limits_.data(),
                                                 static_cast<std::int32_t>(width_), places)) {
                throw std::invalid_argument("argmax has an index outside the rows of its window");
            }
        }
    }

    const Kernels<T>& kernels_;
    const Problem& problem_;
    const PooledGrad<T>& pooled_;
    const T* x_;
    index_t width_;  ///< of a patch
    PooledRowCut rows_;
    std::vector<std::int32_t> firsts_, limits_;  ///< per element of a pooled plane
};

}  // namespace

const char* sparse_obstacle(const Problem& problem, const Window2d* pooling) {
    if (pooling == nullptr) return "takes the gradient of a max pooling, in a fused block";
    if (problem.groups != 1) return "takes one group";
    // The pieces of a patch are rows of the kernels, consecutive in the image.
    if (problem.window.dilation_w != 1) return "takes no dilation of columns";
    constexpr double most_patches = 1 << 20;
    const double patches =
        static_cast<double>(pooling->span_h() * problem.y.w) * static_cast<double>(problem.taps);
    return patches <= most_patches ? nullptr : "takes no rows of patches as large as these";
}

bool sparse_pays(const Problem& problem, const Shape4& pooled) {
    // Each value must look up its patch, and its multiplication is no faster than in a dense
    // product.
    constexpr double gain = 2;
    return static_cast<double>(problem.y.plane()) >= gain * static_cast<double>(pooled.plane());
}

template <typename T>
void sparse_weight_grad(const WeightGradCall<T>& call) {
    const Problem& problem = call.problem;
    const PooledGrad<T>& pooled = *call.pooled;
    constexpr index_t grain = 32;  // filters that share the patches
    const SparseSums<T> sums(problem, pooled, call.x);
    const double work = static_cast<double>(pooled.shape.n * pooled.shape.plane()) *
                        static_cast<double>(problem.taps);
    parallel_ranges(problem.filters, grain, work, [&](index_t filter, index_t end) {
        sums.run(filter, end - filter, call.dweight, call.dbias);
    });
}

#define POCKETCNN_INSTANTIATE(T) template void sparse_weight_grad(const WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv
