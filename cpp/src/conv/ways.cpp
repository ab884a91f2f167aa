#include "conv/ways.h"

#include <pocketcnn/activation.h>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "conv/depthwise.h"
#include "conv/direct.h"
#include "conv/few_pixels.h"
#include "conv/im2col.h"
#include "conv/patches.h"
#include "conv/phases.h"
#include "conv/pointwise.h"
#include "conv/sparse_grad.h"
#include "conv/winograd/winograd.h"
#include "runtime/isa.h"
#include "runtime/memory_pool.h"
#include "runtime/parallel.h"

namespace pocketcnn::conv {
namespace {

using enum ConvAlgorithm;

// Texts and rules that several rows share.

constexpr const char* kTilesTake =
    "kernels 2 to 5 strides long on both axes, or with stride 1 a single tap on one; no dilation";
constexpr const char* kPartsTake =
    "stride 1, kernels of up to 12 taps on both axes, more than 5 on one";
constexpr const char* kDilatedTake =
    "stride 1 with a dilation, kernels of up to 12 taps on both axes, more than one on one";
constexpr const char* kFewerProducts = "fewer multiplications";
constexpr const char* kTilesPay =
    "at least 8 channels and 12 filters, and 1.2 times fewer multiplications, also fewer if the "
    "last tiles are rounded up to 4, 9 or 14 (2, 4 or 6 with fewer registers) and 7 (3) are added "
    "for the transform of the weights; 16 tiles with more than 65536 weights of a tap and 24 with "
    "more than 131072; with a stride 1.85 times fewer multiplications, also if 8 tiles are added; "
    "with a single tap on an axis 32 tiles and 16 channels and filters";
constexpr const char* kGradTilesPay =
    "as in the forward pass, with at least 6 channels and filters (12 with AVX-512; 6 filters do "
    "with 32 channels); with a stride 4 channels in all phases and 12 filters, and 1.7 times fewer "
    "multiplications (1.25 with less than 12 channels), also if 10 tiles are added";
constexpr const char* kWeightGradTilesPay =
    "at least 8 channels (10 with AVX-512) and 12 filters (6 do with 32 channels), 8 tiles (16 and "
    "24 with as many weights as in the forward pass), and 1.2 times fewer multiplications; with a "
    "stride 1.9 times fewer, also if 14 tiles are added; with a single tap on an axis as in the "
    "forward pass";
constexpr const char* kPartsPay =
    "as `winograd`, with at least 16 tiles per part and up to 32 MB of copies per image; two "
    "channels do with 24 filters, and four with 12; with a single tap on an axis 64 of both";
constexpr const char* kGradPartsPay =
    "as `winograd`, with at least 16 tiles per part and up to 32 MB of copies per image; with a "
    "single tap on an axis 64 channels and filters";
constexpr const char* kDilatedPay = "as the two rows above";
constexpr const char* kFewPixelsPay =
    "up to 256 pixels in all images, at least 64 filters; 512 taps and 49152 weights, with a "
    "stride of 3 or more 524288, or one image of up to 64 pixels; 1x1 windows without a stride, "
    "but not for images of one pixel: 64 channels and up to 64 pixels, or 256 "
    "channels and 32768 weights";
constexpr const char* kOneChannel =
    "one channel per group, one stride of up to 2 for both axes (3x3 kernels: two), kernels of up "
    "to 7 rows, no vertical dilation";
constexpr const char* kNear = "all but very large dilations";
constexpr const char* kAll = "every shape";
constexpr const char* kApart = "takes only results that are consecutive in memory";

bool always(const Question& /*question*/) {
    return true;
}
const char* nothing_hinders(const Question& /*question*/) {
    return nullptr;
}
const char* tiles_obstacle(const Question& q) {
    return q.spread ? kApart : winograd::tiles_obstacle(q.problem.window);
}
const char* parts_obstacle(const Question& q) {
    return q.spread ? kApart : winograd::parts_obstacle(q.problem.window);
}
const char* dilated_obstacle(const Question& q) {
    return q.spread ? kApart : winograd::dilated_obstacle(q.problem.window);
}
template <ConvPass pass>
bool tiles_pay(const Question& q) {
    return winograd::pays(q.problem, pass, q.kept);
}
template <ConvPass pass>
const char* depthwise_obstacle(const Question& q) {
    return q.spread ? kApart : depthwise::obstacle(q.problem, pass);
}
template <ConvPass pass>
bool depthwise_pays(const Question& q) {
    return direct::obstacle(q.problem) == nullptr && depthwise::pays(q.problem, pass);
}
const char* direct_obstacle(const Question& q) {
    return direct::obstacle(q.problem);
}
template <ConvPass pass>
bool direct_pays(const Question& q) {
    return direct::pays(q.problem, pass);
}

// The tables. A row: the algorithm in words, why it does not fit, whether it pays, what runs it.

constexpr ForwardWay kForward[] = {
    {.about = {winograd, winograd, kFewerProducts, kTilesTake, kTilesPay},
     .obstacle = tiles_obstacle,
     .pays = tiles_pay<ConvPass::forward>,
     .run_float = winograd::forward<float>,
     .run_double = winograd::forward<double>,
     .finishes_relu = true,
     .transforms_weights = true},
    {.about = {winograd_parts, winograd, kFewerProducts, kPartsTake, kPartsPay},
     .obstacle = parts_obstacle,
     .pays = tiles_pay<ConvPass::forward>,
     .run_float = winograd::forward_in_parts<float>,
     .run_double = winograd::forward_in_parts<double>,
     .finishes_relu = true,
     .transforms_weights = true},
    {.about = {winograd_dilated, winograd, kFewerProducts, kDilatedTake, kDilatedPay},
     .obstacle = dilated_obstacle,
     .pays = tiles_pay<ConvPass::forward>,
     .run_float = winograd::forward_dilated<float>,
     .run_double = winograd::forward_dilated<double>,
     .finishes_relu = true,
     .transforms_weights = true},
    {.about = {depthwise, depthwise, "one channel per filter", kOneChannel,
               "up to 2 filters per group"},
     .obstacle = depthwise_obstacle<ConvPass::forward>,
     .pays = depthwise_pays<ConvPass::forward>,
     .run_float = depthwise::forward<float>,
     .run_double = depthwise::forward<double>,
     .finishes = true},
    {.about =
         {pointwise_in_place, im2col, "a window of one pixel, without packing",
          "1x1 windows, stride 1, no padding, up to 512 channels, planes of at least a tile of "
          "the product (48 pixels with AVX-512, 24 with AVX2)",
          "up to 2^18 elements of x (2^22 with AVX-512 and up to 64 filters), where a plane's last "
          "vector has no more idle lanes, as a share of the plane, than 10 / filters + 10 / "
          "channels; not if channels are a multiple of 2048 bytes apart"},
     .obstacle =
         [](const Question& q) {
             return q.spread ? kApart : pointwise::in_place_obstacle(q.problem);
         },
     .pays = [](const Question& q) { return pointwise::in_place_pays(q.problem); },
     .run_float = pointwise::forward_in_place<float>,
     .run_double = pointwise::forward_in_place<double>,
     .finishes = true},
    {.about = {few_pixels, im2col, "few pixels, many weights", "one group", kFewPixelsPay},
     .obstacle =
         [](const Question& q) { return q.spread ? kApart : few_pixels::obstacle(q.problem); },
     .pays = [](const Question& q) { return few_pixels::pays(q.problem, q.kept); },
     .run_float = few_pixels::forward<float>,
     .run_double = few_pixels::forward<double>,
     .finishes = true},
    {.about =
         {direct, direct, "few channels or filters", kNear,
          "up to 8 filters per group, or up to 80 taps, or up to 16 filters and 1024 taps, and "
          "more than 7 results in a row; with a stride up to 9 taps; with a stride of two also up "
          "to 32 taps, or 4 filters (8 with AVX-512), in rows of more than 14, and up to 80 "
          "taps in rows of more than 28"},
     .obstacle = direct_obstacle,
     .pays = direct_pays<ConvPass::forward>,
     .run_float = direct::forward<float>,
     .run_double = direct::forward<double>,
     .finishes = true,
     .normalises = true},
    {.about = {pointwise, im2col, "a window of one pixel", "1x1 windows, stride 1, no padding",
               "always"},
     .obstacle = [](const Question& q) { return pointwise::obstacle(q.problem.window); },
     .pays = always,
     .run_float = pointwise::forward<float>,
     .run_double = pointwise::forward<double>,
     .finishes = true},
    {.about = {pointwise_strided, im2col, "a window of one pixel", "1x1 windows, no padding",
               "images of 2^18 elements; or 256 filters, and 2^19 elements in all images"},
     .obstacle = [](const Question& q) { return pointwise::strided_obstacle(q.problem.window); },
     .pays = [](const Question& q) { return pointwise::strided_pays(q.problem); },
     .run_float = pointwise::forward_strided<float>,
     .run_double = pointwise::forward_strided<double>,
     .finishes = true},
    {.about = {im2col, im2col, "fits every shape", kAll, "always"},
     .obstacle = nothing_hinders,
     .pays = always,
     .run_float = im2col::forward<float>,
     .run_double = im2col::forward<double>,
     .finishes = true,
     .normalises = true},
};

constexpr InputGradWay kInputGrad[] = {
    {.about = {winograd, winograd, kFewerProducts, kTilesTake, kGradTilesPay},
     .obstacle = tiles_obstacle,
     .pays = tiles_pay<ConvPass::input_grad>,
     .run_float = winograd::input_grad<float>,
     .run_double = winograd::input_grad<double>,
     .finishes = true,
     .transforms_weights = true},
    {.about = {winograd_parts, winograd, kFewerProducts, kPartsTake, kGradPartsPay},
     .obstacle = parts_obstacle,
     .pays = tiles_pay<ConvPass::input_grad>,
     .run_float = winograd::input_grad_in_parts<float>,
     .run_double = winograd::input_grad_in_parts<double>,
     .transforms_weights = true},
    {.about = {winograd_dilated, winograd, kFewerProducts, kDilatedTake, kDilatedPay},
     .obstacle = dilated_obstacle,
     .pays = tiles_pay<ConvPass::input_grad>,
     .run_float = winograd::input_grad_dilated<float>,
     .run_double = winograd::input_grad_dilated<double>,
     .transforms_weights = true},
    {.about = {depthwise, depthwise, "one channel per filter",
               "one channel and one filter per group, strides up to 2 and the kernel's height, "
               "kernels of up to 7 rows, no vertical dilation",
               "always"},
     .obstacle = depthwise_obstacle<ConvPass::input_grad>,
     .pays = depthwise_pays<ConvPass::input_grad>,
     .run_float = depthwise::input_grad<float>,
     .run_double = depthwise::input_grad<double>},
    {.about =
         {few_pixels, im2col, "few pixels, many weights", "one group, and what `phases` takes",
          "as in the forward pass, with the pixels of a phase of the stride as pixels, and "
          "the filters as channels; with a stride only windows of several taps and 524288 weights, "
          "from 1048576 on for up to 512 pixels if dy has up to 49; not if x has 1.2 times as "
          "many pixels as the strides of dy span"},
     .obstacle = [](const Question& q) { return few_pixels::input_grad_obstacle(q.problem); },
     .pays = [](const Question& q) { return few_pixels::input_grad_pays(q.problem); },
     .run_float = few_pixels::input_grad<float>,
     .run_double = few_pixels::input_grad<double>},
    {.about = {patches, im2col, "no multiplications by the zeros of a stride", kAll,
               "with a stride, but for few channels and rows of more than 20 results (28 with "
               "strides of 4 and more), and for 1x1 windows; without one, with few channels and up "
               "to 7, 10 or 20 results in a row; if x has 1.5 times as many pixels as dy; never "
               "for planes of more than 2^20 elements; if `phases` does not fit"},
     .obstacle = nothing_hinders,
     .pays =
         [](const Question& q) {
             return patches::pays(q.problem) || phases::obstacle(q.problem) != nullptr;
         },
     .run_float = patches::input_grad<float>,
     .run_double = patches::input_grad<double>},
    {.about = {phases, im2col, "one convolution of dy per phase of the stride",
               "padding smaller than the dilated kernel, a stride or a dilation but not both",
               "always; each phase is computed by `depthwise`, `direct`, `pointwise`, "
               "`pointwise_in_place` or `im2col`, as the table of the forward pass says"},
     .obstacle = [](const Question& q) { return phases::obstacle(q.problem); },
     .pays = always,
     .run_float = phases::input_grad<float>,
     .run_double = phases::input_grad<double>},
};

constexpr WeightGradWay kWeightGrad[] = {
    {.about = {winograd, winograd, kFewerProducts, kTilesTake, kWeightGradTilesPay},
     .obstacle = tiles_obstacle,
     .pays = tiles_pay<ConvPass::weight_grad>,
     .run_float = winograd::weight_grad<float>,
     .run_double = winograd::weight_grad<double>,
     .transforms_weights = true},
    {.about = {winograd_parts, winograd, kFewerProducts, kPartsTake, kPartsPay},
     .obstacle = parts_obstacle,
     .pays = tiles_pay<ConvPass::weight_grad>,
     .run_float = winograd::weight_grad_in_parts<float>,
     .run_double = winograd::weight_grad_in_parts<double>,
     .transforms_weights = true},
    {.about = {winograd_dilated, winograd, kFewerProducts, kDilatedTake, kDilatedPay},
     .obstacle = dilated_obstacle,
     .pays = tiles_pay<ConvPass::weight_grad>,
     .run_float = winograd::weight_grad_dilated<float>,
     .run_double = winograd::weight_grad_dilated<double>,
     .transforms_weights = true},
    {.about = {sparse, sparse, "few results have a gradient",
               "a max pooling of the results in a fused block, one group, no horizontal dilation",
               "at least twice as many results as the pooling leaves"},
     .obstacle =
         [](const Question& q) {
             return sparse_obstacle(q.problem, q.pooling != nullptr ? &q.pooling->window : nullptr);
         },
     .pays = [](const Question& q) { return sparse_pays(q.problem, q.pooling->shape); },
     .run_float = sparse_weight_grad<float>,
     .run_double = sparse_weight_grad<double>,
     .finishes = true},
    {.about = {depthwise, depthwise, "one channel per filter", kOneChannel, "at least 16 groups"},
     .obstacle = depthwise_obstacle<ConvPass::weight_grad>,
     .pays = depthwise_pays<ConvPass::weight_grad>,
     .run_float = depthwise::weight_grad<float>,
     .run_double = depthwise::weight_grad<double>},
    {.about = {direct, direct, "few channels or filters", kNear,
               "up to 9 taps or 4 filters in rows of more than 10 results; up to 32 taps or 8 "
               "filters in rows "
               "of more "
               "than 20; up to 10000 weights per group"},
     .obstacle = direct_obstacle,
     .pays = direct_pays<ConvPass::weight_grad>,
     .run_float = direct::weight_grad<float>,
     .run_double = direct::weight_grad<double>,
     .finishes = true},
    {.about = {im2col, im2col, "fits every shape", kAll, "always"},
     .obstacle = nothing_hinders,
     .pays = always,
     .run_float = im2col::weight_grad<float>,
     .run_double = im2col::weight_grad<double>},
};

bool answers(const ConvWay& way, ConvAlgorithm asked) {
    return asked == automatic || asked == way.algorithm || asked == way.family;
}

template <typename Way, std::size_t count>
bool knows(const Way (&table)[count], ConvAlgorithm asked) {
    for (const Way& way : table) {
        if (answers(way.about, asked)) return true;
    }
    return false;
}

template <typename Way, std::size_t count>
const Way& choose(const Way (&table)[count], Question question) {
    if (!knows(table, question.asked)) question.asked = automatic;
    const Way* fitting = nullptr;
    const char* obstacle = nullptr;
    for (const Way& way : table) {
        if (!answers(way.about, question.asked)) continue;
        if (const char* const reason = way.obstacle(question)) {
            if (obstacle == nullptr) obstacle = reason;
        } else if (way.pays(question)) {
            return way;
        } else if (fitting == nullptr) {
            fitting = &way;
        }
    }
    if (fitting != nullptr) return *fitting;
    throw std::invalid_argument(std::string("algorithm ") + name_of(question.asked) + " " +
                                obstacle);
}

template <typename Way, std::size_t count>
std::vector<ConvWay> in_words(const Way (&table)[count]) {
    std::vector<ConvWay> words;
    for (const Way& way : table) words.push_back(way.about);
    return words;
}

constexpr std::size_t kPasses = 3, kAlgorithms = static_cast<std::size_t>(sparse) + 1;

std::atomic<std::uint64_t>& counter(ConvPass pass, ConvAlgorithm algorithm) {
    static std::atomic<std::uint64_t> counters[kPasses][kAlgorithms];
    return counters[static_cast<std::size_t>(pass)][static_cast<std::size_t>(algorithm)];
}

void count_run(ConvPass pass, const ConvWay& way) {
    counter(pass, way.algorithm).fetch_add(1, std::memory_order_relaxed);
}

/// Of a copy of the images that is normalised.
template <typename T>
void run_normalized(const ForwardWay& way, ForwardCall<T> call) {
    const Kernels<T>& kernels = pocketcnn::kernels<T>();
    const Shape4& shape = call.problem.x;
    const index_t plane = shape.plane();
    const Buffer<T> normalized(shape.size());
    parallel_for(shape.n * shape.c, static_cast<double>(shape.size()), [&](index_t i) {
        kernels.normalization.normalize(call.units[i % shape.c], plane, call.x + i * plane,
                                        normalized.data() + i * plane);
    });
    call.x = normalized.data();
    call.units = nullptr;
    way.run(call);
}

}  // namespace

const ForwardWay& forward_way(const Question& question) {
    return choose(kForward, question);
}
const InputGradWay& input_grad_way(const Question& question) {
    return choose(kInputGrad, question);
}
const WeightGradWay& weight_grad_way(const Question& question) {
    return choose(kWeightGrad, question);
}

template <typename T>
void compute(const ForwardWay& way, const ForwardCall<T>& call) {
    count_run(ConvPass::forward, way.about);
    if (call.units != nullptr && !way.normalises) {
        run_normalized(way, call);
    } else {
        way.run(call);
    }
    if (call.last.is_none() || way.finishes || (way.finishes_relu && call.last.is_relu())) return;
    const index_t plane = call.problem.y.plane(), planes = call.problem.y.n * call.problem.y.c;
    parallel_ranges(planes, 1, static_cast<double>(plane), [&](index_t begin, index_t end) {
        call.last.apply(call.y + begin * plane, (end - begin) * plane);
    });
}

template <typename T>
void compute(const InputGradWay& way, const InputGradCall<T>& call) {
    count_run(ConvPass::input_grad, way.about);
    way.run(call);
    if (way.finishes || call.gate == nullptr) return;
    activate_backward<T>(Activation::relu, call.dx, call.gate, call.dx, call.problem.x.size());
}

template <typename T>
void compute(const WeightGradWay& way, const WeightGradCall<T>& call) {
    count_run(ConvPass::weight_grad, way.about);
    way.run(call);
    if (way.finishes || call.dbias == nullptr) return;
    conv2d_backward_bias<T>({call.dy, call.problem.y}, call.dbias);
}

std::uint64_t runs(ConvPass pass, ConvAlgorithm algorithm) {
    return counter(pass, algorithm).load(std::memory_order_relaxed);
}

#define POCKETCNN_INSTANTIATE(T)                                         \
    template void compute(const ForwardWay&, const ForwardCall<T>&);     \
    template void compute(const InputGradWay&, const InputGradCall<T>&); \
    template void compute(const WeightGradWay&, const WeightGradCall<T>&);
POCKETCNN_INSTANTIATE(float)
POCKETCNN_INSTANTIATE(double)
#undef POCKETCNN_INSTANTIATE

}  // namespace pocketcnn::conv

namespace pocketcnn {

std::vector<ConvWay> conv2d_ways(ConvPass pass) {
    switch (pass) {
        case ConvPass::forward:
            return conv::in_words(conv::kForward);
        case ConvPass::input_grad:
            return conv::in_words(conv::kInputGrad);
        case ConvPass::weight_grad:
            return conv::in_words(conv::kWeightGrad);
    }
    return {};
}

}  // namespace pocketcnn
