// Convolutions of images whose channels lie together: one by one against the naive loops, and
// several as one against one by one, to the same bits.
#include <pocketcnn/activation.h>

#include <algorithm>
#include <string>
#include <vector>

#include "channels_last/convolve.h"
#include "channels_last/maps.h"
#include "channels_last/separable.h"
#include "channels_last/tiles.h"
#include "compare.h"
#include "conv_cases.h"
#include "fields.h"
#include "isa_test.h"
#include "random.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

using channels_last::Filters, channels_last::pitch_of, channels_last::Separable;

/// Images with their channels together. What fills these up to whole vectors is no zero: it must
/// not count.
template <typename T>
class Together : public Guarded<T> {
  public:
    Together(const T* x, const Shape4& shape)
        : Guarded<T>(shape.n * shape.plane() * pitch_of<T>(shape.c)) {
        const index_t pitch = pitch_of<T>(shape.c);
        std::fill(this->begin(), this->end(), T{7});
        for (index_t n = 0; n < shape.n; ++n)
            for (index_t c = 0; c < shape.c; ++c)
                for (index_t i = 0; i < shape.plane(); ++i)
                    this->data()[(n * shape.plane() + i) * pitch + c] =
                        x[(n * shape.c + c) * shape.plane() + i];
        this->freeze();
    }
};

/// The same back, without what fills up, which must be finite.
template <typename T>
std::vector<T> in_planes(const T* last, const Shape4& shape, bool finite = true) {
    const index_t pitch = pitch_of<T>(shape.c);
    std::vector<T> x(static_cast<std::size_t>(shape.size()));
    for (index_t n = 0; n < shape.n; ++n)
        for (index_t i = 0; i < shape.plane(); ++i) {
            const T* pixel = last + (n * shape.plane() + i) * pitch;
            for (index_t c = 0; c < shape.c; ++c) {
                x[static_cast<std::size_t>((n * shape.c + c) * shape.plane() + i)] = pixel[c];
            }
            for (index_t c = shape.c; finite && c < pitch; ++c)
                EXPECT_TRUE(std::isfinite(pixel[c]));
        }
    return x;
}

/// A convolution with weights of its own.
template <typename T>
struct Layer {
    Layer(Random& random, const Shape4& image, const Conv2d& conv, const Epilogue& end = {})
        : image(image),
          conv(conv),
          weight(random, conv2d_weight_shape(image, conv).size()),
          bias(random, conv.filters),
          filters(channels_last::filters_of(weight.data(), bias.data(),
                                            conv2d_weight_shape(image, conv), end)) {}

    Shape4 y() const { return conv2d_output_shape(image, conv); }

    Shape4 image;
    Conv2d conv;
    RandomArray<T> weight, bias;
    std::shared_ptr<const Filters<T>> filters;
};

class ChannelsLast : public IsaTest {};

template <typename T>
void test_layouts(const Shape4& shape) {
    Random random("layouts");
    const RandomArray<T> x(random, shape.size());
    Guarded<T> last(shape.n * shape.plane() * pitch_of<T>(shape.c));
    channels_last::from_planes<T>({x.data(), shape}, last.data());
    EXPECT_TRUE(last.margins_intact());
    const std::vector<T> wanted = x.copy();
    EXPECT_TRUE(same_bits(in_planes(last.data(), shape), wanted));
    Guarded<T> back(shape.size());
    channels_last::to_planes<T>(last.data(), {back.data(), shape});
    EXPECT_TRUE(back.margins_intact());
    EXPECT_TRUE(same_bits(back.copy(), wanted));

    Sums sums(static_cast<std::size_t>(shape.n * shape.c));
    for (index_t i = 0; i < shape.size(); ++i) {
        sums[static_cast<std::size_t>(i / shape.plane())].add(x.data()[i] / double(shape.plane()));
    }
    Guarded<T> means(shape.n * shape.c);
    channels_last::average(last.data(), shape, means.data());
    expect_sums(means, sums);

    const RandomArray<T> numbers(random, shape.n * shape.c);
    Guarded<T> scaled(last.size());
    channels_last::scale(last.data(), shape, numbers.data(), scaled.data());
    EXPECT_TRUE(scaled.margins_intact());
    std::vector<T> products(wanted);
    for (std::size_t i = 0; i < products.size(); ++i) {
        products[i] *= numbers.data()[static_cast<index_t>(i) / shape.plane()];
    }
    EXPECT_TRUE(same_bits(in_planes(scaled.data(), shape), products));
}

TEST_P(ChannelsLast, LayoutsAndWhatIsDoneChannelByChannel) {
    for (const Shape4& shape : {Shape4{2, 3, 5, 7}, {1, 16, 9, 4}, {3, 33, 1, 1}, {1, 1, 40, 30}}) {
        test_layouts<float>(shape);
        test_layouts<double>(shape);
    }
}

template <typename T>
void test_pointwise(const Shape4& image, index_t filters) {
    SCOPED_TRACE(std::to_string(image.c) + " to " + std::to_string(filters));
    Random random("pointwise");
    const Layer<T> layer(random, image, {{}, filters});
    const RandomArray<T> x(random, image.size()), addend(random, layer.y().size());
    const Together<T> from(x.data(), image), more(addend.data(), layer.y());
    Sums wanted =
        reference::conv2d(x.data(), image, layer.weight.data(), layer.bias.data(), layer.conv);
    Guarded<T> y(more.size());
    channels_last::pointwise<T>(*layer.filters, from.data(), image.n * image.plane(), nullptr,
                                y.data());
    EXPECT_TRUE(y.margins_intact());
    expect_sums(in_planes(y.data(), layer.y()).data(), wanted);
    for (index_t i = 0; i < addend.size(); ++i) {
        wanted[static_cast<std::size_t>(i)].add(addend.data()[i]);
    }
    channels_last::pointwise(*layer.filters, from.data(), image.n * image.plane(), more.data(),
                             y.data());
    EXPECT_TRUE(y.margins_intact());
    expect_sums(in_planes(y.data(), layer.y()).data(), wanted);
}

TEST_P(ChannelsLast, PointwiseForEveryWidthOfPanelsAndRestOfRows) {
    for (const index_t filters : {1, 3, 8, 17, 33, 50, 64, 65, 80, 100}) {
        test_pointwise<float>({1, 5, 3, 9}, filters);
        test_pointwise<double>({1, 5, 3, 9}, filters);
    }
    for (const index_t rows : {1, 2, 3, 7, 11, 13, 24, 26, 100}) {
        test_pointwise<float>({1, 19, rows, 1}, 70);
        test_pointwise<double>({1, 19, rows, 1}, 35);
    }
    test_pointwise<float>({3, 700, 7, 5}, 40);
}

template <typename T>
void test_convolution(const Shape4& image, const Conv2d& conv) {
    Random random("convolution");
    const Layer<T> layer(random, image, conv);
    const RandomArray<T> x(random, image.size()), addend(random, layer.y().size());
    const Together<T> from(x.data(), image), more(addend.data(), layer.y());
    Sums wanted =
        reference::conv2d(x.data(), image, layer.weight.data(), layer.bias.data(), layer.conv);
    for (index_t i = 0; i < addend.size(); ++i) {
        wanted[static_cast<std::size_t>(i)].add(addend.data()[i]);
    }
    for (const bool planes : {false, true}) {
        Guarded<T> y(more.size());
        channels_last::convolve<T>(
            {{1, image.c, image.h, image.w}, conv.window, layer.filters, planes},
            planes ? x.data() : from.data(), image.n, more.data(), y.data());
        EXPECT_TRUE(y.margins_intact());
        expect_sums(in_planes(y.data(), layer.y()).data(), wanted);
    }
}

TEST_P(ChannelsLast, ConvolutionForEveryFieldOfTheWindow) {
    const Window2d window = {3, 2, 1, 2, 1, 0, 2, 1, 1, 2};
    for_every_field(window, [&](const std::string& name, const Window2d& changed) {
        SCOPED_TRACE(name);
        test_convolution<float>({2, 3, 11, 13}, {changed, 20});
        test_convolution<float>({1, 16, 11, 13}, {changed, 70});
        test_convolution<double>({1, 8, 11, 13}, {changed, 9});
    });
    // Bands of rows, and panels shared by tasks.
    test_convolution<float>({1, 17, 33, 31}, {Window2d::square(3, 1, 1), 33});
    test_convolution<float>({1, 40, 4, 4}, {Window2d::square(3, 1, 1), 200});
    test_convolution<float>({9, 1, 12, 12}, {Window2d::square(5), 6});
}

template <typename T>
void test_depthwise(const Shape4& image, const Window2d& window) {
    Random random("depthwise");
    const Layer<T> layer(random, image, {window, image.c, image.c});
    const RandomArray<T> x(random, image.size());
    const Together<T> from(x.data(), image);
    const Shape4 out = layer.y();
    const Sums wanted =
        reference::conv2d(x.data(), image, layer.weight.data(), layer.bias.data(), layer.conv);
    for (const bool planes : {false, true}) {
        Separable<T> layers = {image, window};
        layers.depthwise = layer.filters;
        layers.from_planes = planes;
        Guarded<T> y(out.n * out.plane() * pitch_of<T>(out.c));
        channels_last::separable<T>(layers, planes ? x.data() : from.data(), image.n, nullptr,
                                    y.data());
        EXPECT_TRUE(y.margins_intact());
        expect_sums(in_planes(y.data(), out).data(), wanted);
    }
}

TEST_P(ChannelsLast, DepthwiseForEveryFieldOfTheWindow) {
    const Window2d window = {3, 2, 1, 2, 1, 0, 2, 1, 1, 2};
    for_every_field(window, [&](const std::string& name, const Window2d& changed) {
        SCOPED_TRACE(name);
        test_depthwise<float>({2, 19, 11, 13}, changed);
        test_depthwise<double>({1, 70, 11, 13}, changed);
    });
    // Bands of rows, and lines longer than a tile.
    test_depthwise<float>({1, 70, 60, 61}, Window2d::square(3, 1, 1));
    test_depthwise<float>({1, 16, 7, 7}, Window2d::square(7, 1, 3));
    test_depthwise<float>({1, 3, 2, 2}, Window2d::square(5, 1, 2));
}

/// A depthwise convolution with its neighbours as one, and step by step.
template <typename T>
void test_separable(const Shape4& image, index_t middle, const Window2d& window, index_t filters,
                    const Epilogue& end) {
    Random random("separable");
    const Layer<T> expand(random, image, {{}, middle}, end);
    const Layer<T> depthwise(random, expand.y(), {window, middle, middle}, end);
    const Layer<T> project(random, depthwise.y(), {{}, filters});
    const RandomArray<T> x(random, image.size()), addend(random, project.y().size());
    const Together<T> from(x.data(), image), more(addend.data(), project.y());
    const Shape4 maps = expand.y(), out = project.y();

    Guarded<T> expanded(maps.n * maps.plane() * pitch_of<T>(middle));
    channels_last::pointwise<T>(*expand.filters, from.data(), image.n * image.plane(), nullptr,
                                expanded.data());
    Separable<T> alone = {maps, window};
    alone.depthwise = depthwise.filters;
    Guarded<T> seen(out.n * out.plane() * pitch_of<T>(middle));
    channels_last::separable<T>(alone, expanded.data(), image.n, nullptr, seen.data());
    Guarded<T> y(more.size());
    channels_last::pointwise(*project.filters, seen.data(), out.n * out.plane(), more.data(),
                             y.data());
    const std::vector<T> wanted = in_planes(y.data(), out);

    const auto expect = [&](const Separable<T>& layers, const T* data) {
        Guarded<T> result(more.size());
        channels_last::separable(layers, data, image.n, more.data(), result.data());
        EXPECT_TRUE(result.margins_intact());
        EXPECT_TRUE(same_bits(in_planes(result.data(), out), wanted));
    };
    Separable<T> whole = {image, window, expand.filters, depthwise.filters, project.filters};
    expect(whole, from.data());
    whole.image = maps;
    whole.expand = nullptr;
    expect(whole, expanded.data());
    const std::vector<T> planes = in_planes(expanded.data(), maps);
    whole.from_planes = true;
    expect(whole, planes.data());
}

TEST_P(ChannelsLast, SeveralAsOneHaveTheBitsOfOneByOne) {
    const KeepThreads keep;
    for (const int threads : {1, 3}) {
        set_num_threads(threads);
        for (const Epilogue& end :
             {Epilogue{}, {Activation::relu}, {Activation::relu6}, {Activation::silu}}) {
            // Bands of rows, panels of channels, and many images.
            test_separable<float>({1, 8, 40, 42}, 70, Window2d::square(3, 1, 1), 19, end);
            test_separable<float>({1, 8, 33, 30}, 40, Window2d::square(3, 2, 1), 9, end);
            test_separable<float>({1, 20, 7, 7}, 130, Window2d::square(5, 1, 2), 40, end);
            test_separable<double>({9, 5, 6, 5}, 20, Window2d::square(3, 1, 1), 12, end);
        }
    }
}

/// Activations are computed as if by themselves, and NaN stays NaN.
TEST_P(ChannelsLast, Activations) {
    Random random("activations");
    const Shape4 image = {1, 4, 3, 3};
    RandomArray<float> unfrozen(random, image.size());
    Guarded<float> x(image.size());
    std::copy_n(unfrozen.data(), image.size(), x.data());
    x.data()[4] = std::numeric_limits<float>::quiet_NaN();
    const Together<float> from(x.data(), image);
    for (int kind = 0; kind < kActivations; ++kind) {
        const auto f = static_cast<Activation>(kind);
        Random again("weights");
        const Layer<float> plain(again, image, {{}, 21});
        const Layer<float> layer(again, image, {{}, 21}, {f, 0.25});
        const Filters<float> ended(plain.weight.data(), plain.bias.data(), 21, 4, {f, 0.25});
        Guarded<float> y(9 * pitch_of<float>(21)), wanted(y.size());
        channels_last::pointwise<float>(*plain.filters, from.data(), 9, nullptr, wanted.data());
        activate(f, wanted.data(), wanted.data(), wanted.size(), 0.25);
        channels_last::pointwise<float>(ended, from.data(), 9, nullptr, y.data());
        for (index_t i = 0; i < y.size(); ++i) {
            if (i % pitch_of<float>(21) < 21) {
                expect_near(y.data()[i], double(wanted.data()[i]), 0);
            }
        }
    }
}

TEST_P(ChannelsLast, MaxPoolingForEveryFieldOfTheWindow) {
    Random random("pooling");
    const Shape4 image = {3, 19, 9, 11};
    const RandomArray<float> given(random, image.size());
    Guarded<float> x(image.size());
    std::copy(given.begin(), given.end(), x.begin());
    x[70] = std::numeric_limits<float>::quiet_NaN();
    x[500] = -std::numeric_limits<float>::infinity();
    const Together<float> from(x.data(), image);
    const Window2d some = {2, 3, 2, 1, 1, 0, 1, 2, 1, 1};
    for_every_field(some, [&](const std::string& name, const Window2d& window) {
        SCOPED_TRACE(name);
        const Shape4 out = {image.n, image.c, window.out_h(image.h), window.out_w(image.w)};
        Guarded<float> y(out.n * out.plane() * pitch_of<float>(out.c));
        channels_last::max_pool<float>(from.data(), {1, image.c, image.h, image.w}, image.n, window,
                                       y.data());
        EXPECT_TRUE(y.margins_intact());
        const std::vector<float> actual = in_planes(y.data(), out, false);
        const WindowAxis rows = rows_of(window, image.h), cols = cols_of(window, image.w);
        for (index_t i = 0; i < out.size(); ++i) {
            const index_t plane = i / out.plane(), oy = i / out.w % out.h, ox = i % out.w;
            double wanted = -std::numeric_limits<double>::infinity();
            for (index_t ky = 0; ky < rows.kernel; ++ky) {
                for (index_t kx = 0; kx < cols.kernel; ++kx) {
                    if (!rows.inside(oy, ky) || !cols.inside(ox, kx)) continue;
                    const double value = x[plane * image.plane() + rows.place(oy, ky) * image.w +
                                           cols.place(ox, kx)];
                    if (std::isnan(value) || value > wanted) wanted = value;
                    if (std::isnan(wanted)) break;
                }
                if (std::isnan(wanted)) break;
            }
            expect_near(actual[static_cast<std::size_t>(i)], wanted, 0);
        }
    });
}

/// A convolution by tiles, whose results are as they should be or have the bits of those that are.
template <typename T>
class Tiled {
  public:
    Tiled(const Shape4& image, const Conv2d& conv, bool finite = true)
        : random_("tiles"),
          layer_(random_, image, conv),
          given_(random_, image.size()),
          x_(image.size()),
          more_(random_, layer_.y().size()),
          addend_(more_.data(), layer_.y()),
          finite_(finite) {
        std::copy(given_.begin(), given_.end(), x_.begin());
        if (!finite) {
            x_[x_.size() / 2] = std::numeric_limits<T>::infinity();
            x_[x_.size() - 1] = std::numeric_limits<T>::quiet_NaN();
        }
        x_.freeze();
    }

    /// In every layout, with and without what may follow.
    void check() {
        const std::vector<T> plain = results({});
        expect_convolved(plain);
        for (const Epilogue& end : {Epilogue{}, {Activation::relu}, {Activation::relu6}}) {
            for (const bool from_planes : {false, true}) {
                TiledConvolution layer = plain_layer();
                layer.epilogue = end;
                layer.from_planes = from_planes;
                expect_bits(results(layer), ended(plain, end));
                expect_bits(results(layer, addend_.data()), ended(summed(plain), end));
                layer.to_planes = true;
                if (end.activation != Activation::relu6) {
                    expect_bits(results(layer), ended(plain, end));
                }
                layer.to_planes = false;
                layer.pools = channels_last::may_pool(layer_.conv);
                if (layer.pools) expect_bits(results(layer), pooled(ended(plain, end)));
            }
        }
    }

  private:
    using TiledConvolution = channels_last::TiledConvolution<T>;

    TiledConvolution plain_layer() const {
        const Shape4& image = layer_.image;
        return {{1, image.c, image.h, image.w},
                layer_.conv,
                layer_.weight.data(),
                layer_.bias.data(),
                &kept_,
                {}};
    }
    std::vector<T> results(std::optional<TiledConvolution> layer, const T* addend = nullptr) const {
        if (!layer) layer = plain_layer();
        Shape4 out = layer_.y();
        if (layer->pools) out = {out.n, out.c, out.h / 2, out.w / 2};
        const Together<T> x(x_.data(), layer_.image);
        Guarded<T> y(layer->to_planes ? out.size() : out.n * out.plane() * pitch_of<T>(out.c));
        channels_last::convolve(*layer, layer->from_planes ? x_.data() : x.data(), out.n, addend,
                                y.data());
        EXPECT_TRUE(y.margins_intact());
        return layer->to_planes ? y.copy() : in_planes(y.data(), out, finite_);
    }
    std::vector<T> summed(std::vector<T> y) const {
        for (std::size_t i = 0; i < y.size(); ++i) y[i] += more_[static_cast<index_t>(i)];
        return y;
    }
    static std::vector<T> ended(std::vector<T> y, const Epilogue& end) {
        for (T& value : y) {
            if (end.activation && value < 0) value = 0;
            if (end.activation == Activation::relu6 && value > 6) value = 6;
        }
        return y;
    }
    std::vector<T> pooled(const std::vector<T>& y) const {
        const Shape4 maps = layer_.y();
        std::vector<T> most;
        for (index_t i = 0; i < maps.n * maps.c * (maps.h / 2); ++i) {
            const index_t row = i / (maps.h / 2) * maps.h + i % (maps.h / 2) * 2;
            for (index_t col = 0; col + 1 < maps.w; col += 2) {
                const T* at = y.data() + row * maps.w + col;
                T largest = at[0];
                for (const T other : {at[1], at[maps.w], at[maps.w + 1]}) {
                    if (!(largest >= other || std::isnan(largest))) largest = other;
                }
                most.push_back(largest);
            }
        }
        return most;
    }
    void expect_convolved(const std::vector<T>& y) const {
        const Sums wanted = reference::conv2d(x_.data(), layer_.image, layer_.weight.data(),
                                              layer_.bias.data(), layer_.conv);
        if (finite_) return expect_sums(y.data(), allowances(wanted, ConvAlgorithm::winograd));
        for (std::size_t i = 0; i < y.size(); ++i) expect_near(y[i], wanted[i].value, 1e-4);
    }
    /// Zeros may have either sign, and NaN any bits.
    static void expect_bits(const std::vector<T>& actual, const std::vector<T>& wanted) {
        ASSERT_EQ(actual.size(), wanted.size());
        for (std::size_t i = 0; i < actual.size(); ++i) {
            expect_near(actual[i], static_cast<double>(wanted[i]), 0);
        }
    }

    Random random_;
    Layer<T> layer_;
    RandomArray<T> given_;
    Guarded<T> x_;
    RandomArray<T> more_;
    Together<T> addend_;
    bool finite_;
    KeptWeights<T> kept_;
};

TEST_P(ChannelsLast, ConvolutionByTiles) {
    const KeepThreads keep;
    for (const int threads : {1, 3}) {
        set_num_threads(threads);
        for (index_t kernel = 2; kernel <= 5; ++kernel) {
            const Conv2d conv = {Window2d::square(kernel, 1, kernel / 2), 9 + 11 * kernel};
            Tiled<float>({2, 3 + 7 * kernel, 13, 10 + kernel}, conv).check();
            Tiled<double>({1, 5 * kernel, 11, 7}, conv).check();
        }
        Tiled<float>({2, 20, 13, 10}, {{1, 3}, 33}).check();
        Tiled<float>({2, 20, 13, 10}, {{5, 1}, 17}).check();
        // One tile, tasks of panels, and blocks of tiles shared by threads.
        Tiled<float>({1, 70, 4, 4}, {Window2d::square(3, 1, 1), 140}).check();
        Tiled<float>({1, 40, 30, 33}, {Window2d::square(3, 1, 1), 34}).check();
        Tiled<float>({1, 300, 20, 20}, {Window2d::square(3), 64}).check();
        Tiled<float>({3, 17, 36, 36}, {Window2d::square(3, 1, 1), 16}).check();
    }
}

TEST_P(ChannelsLast, ConvolutionByTilesOfWhatIsNotFinite) {
    const bool finite = false;
    Tiled<float>({3, 20, 12, 9}, {Window2d::square(3, 1, 1), 17}, finite).check();
    Tiled<double>({2, 9, 12, 9}, {Window2d::square(5, 1, 2), 17}, finite).check();
}

POCKETCNN_FOR_EVERY_ISA(ChannelsLast);

}  // namespace
}  // namespace pocketcnn::tests
