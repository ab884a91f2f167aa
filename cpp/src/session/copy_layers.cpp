// Layers that copy pixels to other places.
#include <algorithm>
#include <stdexcept>

#include "runtime/parallel.h"
#include "session/layer.h"

namespace pocketcnn::session {
namespace {

template <typename T>
Layer<T> channel_shuffle_layer(const Site<T>& site) {
    const index_t groups = site.settings.integer("groups", 1);
    const Shape4 image = site.image();
    if (image.c % groups != 0) throw std::invalid_argument("its groups do not divide the channels");
    const auto run = [=](const Call<T>& call) {
        const auto copied = static_cast<double>(batch(image, call.n).size());
        parallel_for(call.n * image.c, copied, [&](index_t i) {
            const index_t n = i / image.c, channel = i % image.c;
            // The channels of a group lie together in x, those of as many groups in y.
            const index_t from = channel % groups * (image.c / groups) + channel / groups;
            std::copy_n(call.x[0] + (n * image.c + from) * image.plane(), image.plane(),
                        call.y + i * image.plane());
        });
    };
    return {site.input(), run};
}

Shape4 padded(const Shape4& shape, const Padding& padding) {
    const auto& [vertical, horizontal] = padding;
    return {shape.n, shape.c, vertical.before + shape.h + vertical.after,
            horizontal.before + shape.w + horizontal.after};
}

template <typename T>
Layer<T> zero_pad2d_layer(const Site<T>& site) {
    const Shape4 image = site.image();
    const std::optional<Padding> padding = site.settings.padding(-(index_t{1} << 31));
    if (!padding) throw std::invalid_argument("its padding must be numbers");
    const Shape4 out = padded(image, *padding);
    const auto cut = [](const Sides& sides) {
        return -std::min<index_t>(sides.before, 0) - std::min<index_t>(sides.after, 0);
    };
    if (out.h < 1 || out.w < 1 || cut(padding->vertical) > image.h ||
        cut(padding->horizontal) > image.w) {
        throw std::invalid_argument("its padding leaves nothing");
    }
    const auto run = [image, padding = *padding](const Call<T>& call) {
        zero_pad(call.x[0], batch(image, call.n), padding, call.y);
    };
    return {sample(out), run};
}

/// An axis of an output, and by how much one step along it moves in the input.
struct Axis {
    index_t size, step;
};

/// Copies a sample in the order of the axes, the outermost first; returns where y ends.
template <typename T>
T* gather(std::span<const Axis> axes, const T* x, T* y) {
    if (axes.empty()) {
        *y = *x;
        return y + 1;
    }
    for (index_t i = 0; i < axes[0].size; ++i, x += axes[0].step) {
        y = gather(axes.subspan(1), x, y);
    }
    return y;
}

/// A layer that takes numbers of its input in the order of axes, beginning at one of them.
template <typename T>
Layer<T> gather_layer(const Shape& input, const std::vector<Axis>& axes, index_t begin) {
    Shape output;
    for (const Axis& axis : axes) output.push_back(axis.size);
    const auto run = [=, from = size_of(input), to = size_of(output)](const Call<T>& call) {
        if (to == 0) return;
        parallel_for(call.n, static_cast<double>(call.n * to), [&](index_t i) {
            gather<T>(axes, call.x[0] + i * from + begin, call.y + i * to);
        });
    };
    return {output, run};
}

/// The axes of an input as it lies in memory.
std::vector<Axis> axes_of(const Shape& shape) {
    std::vector<Axis> axes(shape.size());
    index_t step = 1;
    for (std::size_t i = shape.size(); i-- > 0; step *= shape[i]) axes[i] = {shape[i], step};
    return axes;
}

template <typename T>
Layer<T> permute_layer(const Site<T>& site) {
    const std::vector<index_t> order = site.settings.integers("axes", 0);
    const std::vector<Axis> axes = axes_of(site.input());
    std::vector<index_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    std::vector<Axis> moved;
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        if (sorted.size() != axes.size() || sorted[i] != static_cast<index_t>(i)) {
            throw std::invalid_argument("its axes are not those of its input " +
                                        text_of(site.input()));
        }
        moved.push_back(axes[static_cast<std::size_t>(order[i])]);
    }
    if (moved.size() != axes.size()) throw std::invalid_argument("it names no axes");
    return gather_layer<T>(site.input(), moved, 0);
}

template <typename T>
Layer<T> slice_layer(const Site<T>& site) {
    const index_t start = site.settings.integer("start", 0);
    const index_t stop = site.settings.integer("stop", start + 1);
    const index_t axis = site.settings.integer("axis", 1, 1) - 1;
    const index_t step = site.settings.integer("step", 1, 1);
    std::vector<Axis> axes = axes_of(site.input());
    if (axis >= static_cast<index_t>(axes.size()) ||
        stop > axes[static_cast<std::size_t>(axis)].size) {
        throw std::invalid_argument("it takes more places than its input " + text_of(site.input()) +
                                    " has");
    }
    Axis& cut = axes[static_cast<std::size_t>(axis)];
    const index_t begin = start * cut.step;
    cut = {(stop - start + step - 1) / step, step * cut.step};
    return gather_layer<T>(site.input(), axes, begin);
}

}  // namespace

template <typename T>
void zero_pad(const T* x, const Shape4& shape, const Padding& padding, T* y) {
    const index_t top = padding.vertical.before, bottom = padding.vertical.after;
    const index_t left = padding.horizontal.before, right = padding.horizontal.after;
    const Shape4 out = padded(shape, padding);
    // What x has of a row of y.
    const index_t first = std::max<index_t>(0, -left);
    const index_t width = std::min(shape.w, shape.w + right) - first;
    parallel_for(shape.n * shape.c, static_cast<double>(out.size()), [&](index_t i) {
        T* to = y + i * out.plane();
        for (index_t row = -top; row < shape.h + bottom; ++row, to += out.w) {
            std::fill_n(to, out.w, T{0});
            if (row < 0 || row >= shape.h || width <= 0) continue;
            std::copy_n(x + i * shape.plane() + row * shape.w + first, width,
                        to + std::max<index_t>(0, left));
        }
    });
}

template <typename T>
std::span<const Kind<T>> copy_kinds() {
    static constexpr Kind<T> kinds[] = {
        {"ChannelShuffle", channel_shuffle_layer<T>},
        {"Permute", permute_layer<T>},
        {"Slice", slice_layer<T>},
        {"ZeroPad2d", zero_pad2d_layer<T>},
    };
    return kinds;
}

#define POCKETCNN_INSTANTIATE(T)                                         \
    template void zero_pad(const T*, const Shape4&, const Padding&, T*); \
    template std::span<const Kind<T>> copy_kinds();
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::session
