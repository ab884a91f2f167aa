// Layers that take several inputs.
#include <pocketcnn/activation.h>

#include <algorithm>
#include <functional>
#include <stdexcept>

#include "runtime/parallel.h"
#include "session/layer.h"

namespace pocketcnn::session {
namespace {

/// An axis of an output, along which two inputs step; one that is repeated stands still.
struct PairedAxis {
    index_t size, step_a, step_b;
};

/// The axes of one sample, the innermost first; those along which memory goes on are one.
std::vector<PairedAxis> paired_axes(const Shape& a, const Shape& b, const Shape& y) {
    std::vector<PairedAxis> axes;
    index_t size_a = 1, size_b = 1;
    for (std::size_t i = y.size(); i-- > 0;) {
        if (y[i] == 1) continue;
        const PairedAxis axis = {y[i], a[i] == 1 ? 0 : size_a, b[i] == 1 ? 0 : size_b};
        size_a *= a[i];
        size_b *= b[i];
        const PairedAxis* inner = axes.empty() ? nullptr : &axes.back();
        if (inner != nullptr && axis.step_a == inner->step_a * inner->size &&
            axis.step_b == inner->step_b * inner->size) {
            axes.back().size *= axis.size;
        } else {
            axes.push_back(axis);
        }
    }
    return axes;
}

/// y = a op b over the innermost of the axes, then the others; returns where y ends.
template <typename T, typename Op>
T* combine(std::span<const PairedAxis> axes, const T* a, const T* b, T* y) {
    constexpr Op op;
    if (axes.empty()) {
        *y = op(*a, *b);
        return y + 1;
    }
    const auto [size, step_a, step_b] = axes.back();
    if (axes.size() > 1) {
        for (index_t i = 0; i < size; ++i) {
            y = combine<T, Op>(axes.first(axes.size() - 1), a + i * step_a, b + i * step_b, y);
        }
        return y;
    }
    if (step_a == 0 && step_b == 0) {
        std::fill_n(y, size, op(*a, *b));
    } else if (step_a == 0) {
        for (index_t i = 0; i < size; ++i) y[i] = op(*a, b[i]);
    } else if (step_b == 0) {
        for (index_t i = 0; i < size; ++i) y[i] = op(a[i], *b);
    } else {
        for (index_t i = 0; i < size; ++i) y[i] = op(a[i], b[i]);
    }
    return y + size;
}

void require_axes(const std::vector<Shape>& shapes) {
    for (const Shape& shape : shapes) {
        if (shape.size() != shapes.front().size()) {
            throw std::invalid_argument("it takes inputs of as many axes, but has " +
                                        text_of(shapes.front()) + " and " + text_of(shape));
        }
    }
}

/// The shape to which inputs are repeated along axes where their size is 1.
Shape common_shape(const std::vector<Shape>& shapes) {
    require_axes(shapes);
    Shape common = shapes.front();
    for (const Shape& shape : shapes) {
        for (std::size_t i = 0; i < common.size(); ++i) {
            if (common[i] == 1) common[i] = shape[i];
            if (shape[i] != 1 && shape[i] != common[i]) {
                throw std::invalid_argument(
                    "it takes inputs of one shape, or of size 1 where they differ, but has " +
                    text_of(common) + " and " + text_of(shape));
            }
        }
    }
    return common;
}

/// x[0] op x[1] op ..., from the first to the last.
template <typename T, typename Op>
Layer<T> combined(const Site<T>& site) {
    struct Pass {
        index_t size_a, size_b;  // of a sample
        std::vector<PairedAxis> axes;
    };
    const Shape shape = common_shape(site.inputs);
    const index_t size = size_of(shape);
    std::vector<Pass> passes;
    Shape so_far = site.inputs.front();
    for (std::size_t k = 1; k < site.inputs.size(); ++k) {
        const Shape& next = site.inputs[k];
        passes.push_back({size_of(so_far), size_of(next), paired_axes(so_far, next, shape)});
        so_far = shape;
    }
    const auto run = [passes, size](const Call<T>& call) {
        const double work = static_cast<double>(call.n) * static_cast<double>(size);
        const T* a = call.x[0];
        for (std::size_t k = 0; k < passes.size(); ++k) {
            const Pass& pass = passes[k];
            const T* b = call.x[k + 1];
            parallel_for(call.n, work, [&](index_t i) {
                combine<T, Op>(pass.axes, a + i * pass.size_a, b + i * pass.size_b,
                               call.y + i * size);
            });
            a = call.y;
        }
    };
    return {shape, run};
}

template <typename T>
Layer<T> add_layer(const Site<T>& site) {
    const bool alike = site.inputs[0] == site.inputs[1];
    if (site.inputs.size() == 2 && alike) return sum_of_two<T>(site.inputs[0], false);
    return combined<T, std::plus<T>>(site);
}

template <typename T>
Layer<T> multiply_layer(const Site<T>& site) {
    Layer<T> layer = combined<T, std::multiplies<T>>(site);
    if (site.inputs.size() != 2) return layer;
    for (const std::size_t numbers : {0, 1}) {
        const Shape &image = site.inputs[1 - numbers], &scale = site.inputs[numbers];
        if (image.size() == 3 && image != scale && scale == Shape{image[0], 1, 1}) {
            layer.part = Gate{{1, image[0], image[1], image[2]}, numbers};
        }
    }
    return layer;
}

template <typename T>
Layer<T> concat_layer(const Site<T>& site) {
    require_axes(site.inputs);
    Shape shape = site.inputs.front();
    if (shape.empty()) throw std::invalid_argument("it takes inputs with channels, but has ()");
    shape[0] = 0;
    std::vector<index_t> sizes;
    index_t size = 0;
    for (const Shape& input : site.inputs) {
        if (!std::equal(shape.begin() + 1, shape.end(), input.begin() + 1)) {
            throw std::invalid_argument("it takes inputs that differ in channels alone, but has " +
                                        text_of(site.inputs.front()) + " and " + text_of(input));
        }
        shape[0] += input[0];
        size = size_of(shape);
        sizes.push_back(size_of(input));
    }
    const auto run = [sizes, size](const Call<T>& call) {
        const double work = static_cast<double>(call.n) * static_cast<double>(size);
        parallel_for(call.n, work, [&](index_t i) {
            T* to = call.y + i * size;
            for (std::size_t k = 0; k < sizes.size(); ++k) {
                to = std::copy_n(call.x[k] + i * sizes[k], sizes[k], to);
            }
        });
    };
    return {shape, run};
}

}  // namespace

template <typename T>
Layer<T> sum_of_two(const Shape& shape, bool rectify) {
    const auto run = [rectify, size = size_of(shape)](const Call<T>& call) {
        add(call.x[0], call.x[1], rectify, call.y, call.n * size);
    };
    return {shape, run, Sum{rectify}};
}

template <typename T>
std::span<const Kind<T>> merge_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"Add", add_layer<T>, true},
        {"Concat", concat_layer<T>, true},
        {"Multiply", multiply_layer<T>, true},
    };
    return kinds;
}

#define POCKETCNN_INSTANTIATE(T)                      \
    template Layer<T> sum_of_two(const Shape&, bool); \
    template std::span<const Kind<T>> merge_kinds();
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::session
