// Sums of very many terms. The error of a float sum grows with the number of successive additions.
// So after a limited number the sums are added to other sums, and from there to totals in double.
#pragma once

#include <algorithm>

#include "runtime/isa.h"
#include "runtime/memory_pool.h"

namespace pocketcnn::gemm {

/// Sums of up to this many terms are left as they are, if a hundred or more terms are first added
/// up in registers.
inline constexpr index_t kLongestSum = 1 << 14;

template <typename T>
class LongSums {
  public:
    /// For `size` sums of `terms` terms each. At most `longest` of them are added up in succession,
    /// apart from terms that come together.
    LongSums(index_t size, index_t terms, index_t longest = kLongestSum)
        : size_(terms > longest ? size : 0), longest_(longest), taken_(size_), totals_(size_) {
        std::fill_n(taken_.data(), size_, T{0});
        std::fill_n(totals_.data(), size_, 0.0);
    }

    /// To be called before `terms` more are added. Whether the sums start from zero: at the
    /// beginning, and after their contents were taken.
    bool begin_anew(index_t terms, const T* sums) {
        const bool full = size_ > 0 && terms_ > 0 && terms_ + terms > longest_;
        if (full) take(sums);
        const bool anew = full || terms_ == 0;
        terms_ = (full ? 0 : terms_) + terms;
        return anew;
    }

    /// Adds the contents taken so far to the sums [begin, end).
    void finish(T* sums, index_t begin, index_t end) const {
        for (index_t i = begin; i < end && size_ > 0; ++i) {
            sums[i] = static_cast<T>(totals_[i] + static_cast<double>(taken_[i]) +
                                     static_cast<double>(sums[i]));
        }
    }
    void finish(T* sums) const { finish(sums, 0, size_); }

    /// Like begin_anew, for sums that are always added to: it sets them to zero.
    void make_room(index_t terms, T* sums, index_t size) {
        if (begin_anew(terms, sums)) std::fill_n(sums, size, T{0});
    }

  private:
    /// Additions in double take ten times as long, so only some are.
    void take(const T* sums) {
        constexpr index_t most = 64;
        kernels<T>().elementwise.add(size_, sums, taken_.data());
        if (++times_ % most != 0) return;
        for (index_t i = 0; i < size_; ++i) totals_[i] += static_cast<double>(taken_[i]);
        std::fill_n(taken_.data(), size_, T{0});
    }

    index_t size_, longest_, terms_ = 0, times_ = 0;
    Buffer<T> taken_;
    Buffer<double> totals_;
};

}  // namespace pocketcnn::gemm
