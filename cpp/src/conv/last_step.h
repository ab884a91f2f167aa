// What follows the sums of a forward pass: an activation, done while they are in cache.
#pragma once

#include <pocketcnn/conv2d.h>

#include <algorithm>

#include "activation_kernels.h"

namespace pocketcnn::conv {

template <typename T>
class LastStep {
  public:
    LastStep() = default;
    explicit LastStep(const Epilogue& epilogue)
        : activation_(epilogue.activation), parameter_(static_cast<T>(epilogue.parameter)) {
        if (activation_) value_ = kernels_of<T>(*activation_).value;
    }

    bool is_none() const { return value_ == nullptr; }
    bool is_relu() const { return activation_ == Activation::relu; }

    void apply(T* y, index_t size) const {
        if (value_ != nullptr) value_(size, parameter_, y, y);
    }

    /// For filters [filter, filter_end) at pixels [pixel, pixel_end) of all images of a shape.
    void apply(T* y, const Shape4& shape, index_t filter, index_t filter_end, index_t pixel,
               index_t pixel_end) const {
        if (value_ == nullptr) return;
        const index_t plane = shape.plane();
        while (pixel < pixel_end) {
            const index_t end = std::min(pixel_end, (pixel / plane + 1) * plane);
            T* row = y + pixel / plane * shape.image() + pixel % plane;
            for (index_t f = filter; f < filter_end; ++f) apply(row + f * plane, end - pixel);
            pixel = end;
        }
    }

  private:
    std::optional<Activation> activation_;
    T parameter_ = 0;
    void (*value_)(index_t size, T parameter, const T* x, T* y) = nullptr;
};

}  // namespace pocketcnn::conv
