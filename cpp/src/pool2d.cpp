#include <pocketcnn/pool2d.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

#include "pool2d_blocks.h"

namespace pocketcnn {
namespace {

/// A window that begins in the padding may skip an input shorter than the dilation. Its starts
/// repeat modulo the dilation.
void require_inside_taps(const PoolAxis& axis, const char* name) {
    if (axis.dilation <= axis.size) return;
    const index_t period = axis.dilation / std::gcd(axis.stride, axis.dilation);
    const index_t count = std::min({axis.out, ceil_div(axis.pad, axis.stride), period});
    for (index_t o = 0; o < count; ++o) {
        const PoolAxis::Range range = axis.inside(o);
        if (range.first >= range.last) {
            throw std::invalid_argument(std::string(name) + ": a dilated window sees only padding");
        }
    }
}

void require_smaller(index_t pad, index_t span, const char* name) {
    if (pad >= span) {
        throw std::invalid_argument(std::string(name) + ": padding " + std::to_string(pad) +
                                    " must be smaller than the kernel's span " +
                                    std::to_string(span));
    }
}

}  // namespace

Shape4 pool2d_output_shape(const Shape4& x, const Pool2d& pool) {
    validate(x, "x");
    validate(pool.window, x.h, x.w, pool.ceil_mode);
    const Window2d& w = pool.window;
    for (const index_t pad : {w.pad_top, w.pad_bottom}) require_smaller(pad, w.span_h(), "height");
    for (const index_t pad : {w.pad_left, w.pad_right}) require_smaller(pad, w.span_w(), "width");
    const PoolAxes a = pool_axes(x, pool);
    const Shape4 y = {x.n, x.c, a.y.out, a.x.out};
    validate(y, "the output");
    if (y.size() == 0) return y;
    require_inside_taps(a.y, "height");
    require_inside_taps(a.x, "width");
    return y;
}

void require_pooled_shape(const Shape4& given, const Shape4& wanted, const char* name) {
    if (given != wanted) {
        throw std::invalid_argument(std::string(name) +
                                    " does not have the shape that the pooling gives");
    }
}

}  // namespace pocketcnn
