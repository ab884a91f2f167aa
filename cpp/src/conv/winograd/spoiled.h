// The images of a batch with results that are not finite. In a tile, a value that is not finite or
// that overflows in a transform also reaches results whose windows do not see it. So these images
// are computed again, without tiles.
#pragma once

#include <atomic>
#include <vector>

#include "conv/problem.h"

namespace pocketcnn::winograd {

class SpoiledImages {
  public:
    explicit SpoiledImages(index_t images) : marks_(static_cast<std::size_t>(images)) {}

    /// May be called from any thread.
    void mark(index_t image) {
        marks_[static_cast<std::size_t>(image)].store(true, std::memory_order_relaxed);
    }
    /// Calls body(image) for each.
    template <typename Body>
    void for_each(Body&& body) const {
        for (std::size_t i = 0; i < marks_.size(); ++i) {
            if (marks_[i].load(std::memory_order_relaxed)) body(static_cast<index_t>(i));
        }
    }
    /// Calls body(problem of one image, offset of the image in x, offset in y) for each.
    template <typename Body>
    void for_each(const conv::Problem& problem, Body&& body) const {
        conv::Problem one = problem;
        one.x.n = one.y.n = 1;
        for_each([&](index_t n) { body(one, n * problem.x.image(), n * problem.y.image()); });
    }

  private:
    std::vector<std::atomic<bool>> marks_;
};

/// A batch's images from `first` on.
struct SpoiledPart {
    SpoiledImages& all;
    index_t first;

    void mark(index_t image) const { all.mark(first + image); }
};

}  // namespace pocketcnn::winograd
