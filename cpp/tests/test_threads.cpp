// The same bits for every team and number of threads, and from every calling thread.
#include <pocketcnn/activation.h>
#include <pocketcnn/batch_norm.h>
#include <pocketcnn/column_matrix.h>
#include <pocketcnn/conv2d.h>
#include <pocketcnn/conv_transpose2d.h>
#include <pocketcnn/cross_entropy.h>
#include <pocketcnn/dropout.h>
#include <pocketcnn/group_norm.h>
#include <pocketcnn/linear.h>
#include <pocketcnn/local_response_norm.h>
#include <pocketcnn/optimizer.h>
#include <pocketcnn/pool2d.h>
#include <pocketcnn/prelu.h>
#include <pocketcnn/softmax.h>
#include <pocketcnn/upsample2d.h>

#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "compare.h"
#include "conv_cases.h"
#include "isa_test.h"
#include "random.h"
#include "runtime/memory_pool.h"
#include "thread_test.h"

namespace pocketcnn::tests {
namespace {

/// An operation that writes its result into an array of `size` numbers, large enough that threads
/// share it.
template <typename T>
struct Operation {
    std::string name;
    index_t size;
    std::function<void(T*)> run;
};

template <typename T>
const T* numbers(index_t size) {
    static const RandomArray<T>* array = [] {
        Random random("numbers");
        return new RandomArray<T>(random, 1 << 20);
    }();
    EXPECT_LE(size, array->size());
    return array->data();
}

/// All passes that the convolution's algorithm does not refuse.
template <typename T>
void add_convolution(const Conv2d& conv, std::string name, std::vector<Operation<T>>& all) {
    const Shape4 x = {3, 16, 26, 23}, y = conv2d_output_shape(x, conv);
    const index_t weights = conv.filters * x.c / conv.groups * conv.window.taps();
    const T* data = numbers<T>(std::max(x.size(), y.size()));
    name += ", " + std::to_string(conv.filters) + " filters, " + std::to_string(conv.groups) +
            " groups";
    const auto takes = [&](ConvPass pass) {
        const Algorithms ways = conv_algorithms(pass);
        return std::find(ways.begin(), ways.end(), conv.algorithm) != ways.end() &&
               plan_for(x, conv, pass);
    };
    if (takes(ConvPass::forward)) {
        all.push_back({"conv2d " + name, y.size(),
                       [=](T* out) { conv2d<T>({data, x}, data, data, conv, {out, y}); }});
    }
    if (takes(ConvPass::input_grad)) {
        all.push_back({"conv2d_backward_input " + name, x.size(),
                       [=](T* out) { conv2d_backward_input<T>({data, y}, data, conv, {out, x}); }});
    }
    if (takes(ConvPass::weight_grad)) {
        all.push_back({"conv2d_backward_weight " + name, weights, [=](T* out) {
                           conv2d_backward_weight<T>({data, y}, {data, x}, conv, out);
                       }});
        all.push_back({"its bias " + name, conv.filters, [=](T* out) {
                           const Buffer<T> dweight(weights);
                           conv2d_backward_weight<T>({data, y}, {data, x}, conv, dweight.data(),
                                                     out);
                       }});
    }
    if (takes(ConvPass::input_grad) && takes(ConvPass::weight_grad)) {
        all.push_back({"conv2d_backward " + name, x.size() + weights + conv.filters, [=](T* out) {
                           T* dweight = out + x.size();
                           conv2d_backward<T>({data, y}, {data, x}, data, conv,
                                              {out, dweight, dweight + weights});
                       }});
    }
}

template <typename T>
std::vector<Operation<T>> convolutions() {
    std::vector<Operation<T>> all;
    const Window2d same = Window2d::square(3, 1, 1), strided = {5, 3, 2, 2, 2, 1, 1, 0};
    const Window2d dilated = {3, 3, 1, 1, 2, 2, 1, 1, 2, 1}, long_window = {7, 4, 1, 1, 3, 3, 2, 1};
    const Window2d point = {.stride_h = 2, .stride_w = 2};
    std::set<ConvAlgorithm> algorithms;
    for (const ConvPass pass : {ConvPass::forward, ConvPass::input_grad, ConvPass::weight_grad}) {
        const Algorithms ways = conv_algorithms(pass);
        algorithms.insert(ways.begin(), ways.end());
    }
    for (const ConvAlgorithm algorithm : algorithms) {
        const std::string name = name_of(algorithm);
        add_convolution<T>({same, 20, 1, algorithm}, name, all);
        add_convolution<T>({strided, 24, 2, algorithm}, name, all);
        add_convolution<T>({dilated, 20, 1, algorithm}, name, all);
        add_convolution<T>({long_window, 20, 1, algorithm}, name, all);
        add_convolution<T>({point, 20, 1, algorithm}, name, all);
        add_convolution<T>({same, 16, 16, algorithm}, name, all);
    }
    const Shape4 image = {4, 16, 90, 91};
    const T* data = numbers<T>(image.size());
    all.push_back(
        {"conv2d_backward_bias", 16, [=](T* out) { conv2d_backward_bias<T>({data, image}, out); }});
    const Conv2d doubling = {Window2d::square(2, 2), 20, 2};
    const Shape4 small = {3, 20, 26, 23}, doubled = {3, 16, 52, 46};
    const index_t weights = 20 * 8 * 4;
    all.push_back({"conv_transpose2d", doubled.size(), [=](T* out) {
                       conv_transpose2d<T>({data, small}, data, data, doubling, {out, doubled});
                   }});
    all.push_back({"conv_transpose2d_backward_weight", weights + doubled.c, [=](T* out) {
                       conv_transpose2d_backward_weight<T>({data, doubled}, {data, small}, doubling,
                                                           out, out + weights);
                   }});
    const Shape4 x = {3, 8, 26, 23};
    const index_t rows = x.n * x.plane(), cols = x.c * same.taps();
    all.push_back(
        {"im2col", rows * cols, [=](T* out) { im2col<T>({data, x}, same, {out, rows, cols}); }});
    all.push_back(
        {"col2im", x.size(), [=](T* out) { col2im<T>({data, rows, cols}, same, {out, x}); }});
    return all;
}

template <typename T>
std::vector<Operation<T>> poolings() {
    const Shape4 x = {5, 12, 43, 47};
    const Pool2d pool = {{3, 3, 2, 2, 1, 0, 1, 1}, true};
    const Shape4 y = pool2d_output_shape(x, pool);
    const T* data = numbers<T>(x.size());
    return {
        {"max_pool2d", y.size() + y.size(),
         [=](T* out) {
             std::vector<index_t> argmax(y.size());
             max_pool2d<T>({data, x}, pool, {out, y}, argmax.data());
             std::copy(argmax.begin(), argmax.end(), out + y.size());
         }},
        {"max_pool2d_backward", x.size(),
         [=](T* out) {
             std::vector<index_t> argmax(y.size());
             for (index_t i = 0; i < y.size(); ++i) argmax[i] = i * i % x.plane();
             max_pool2d_backward<T>({data, y}, argmax.data(), {out, x});
         }},
        {"avg_pool2d", y.size(), [=](T* out) { avg_pool2d<T>({data, x}, pool, false, {out, y}); }},
        {"avg_pool2d_backward", x.size(),
         [=](T* out) { avg_pool2d_backward<T>({data, y}, pool, true, {out, x}); }},
    };
}

template <typename T>
std::vector<Operation<T>> resizings() {
    const Shape4 x = {3, 12, 43, 47};
    const T* data = numbers<T>(1 << 20);
    std::vector<Operation<T>> all;
    for (const Upsample2d& upsample :
         {Upsample2d{2, 2}, Upsample2d{1.7, 2.3, UpsampleMode::bilinear}}) {
        const Shape4 y = upsample2d_output_shape(x, upsample);
        all.push_back({"upsample2d", y.size(),
                       [=](T* out) { upsample2d<T>({data, x}, upsample, {out, y}); }});
        all.push_back({"upsample2d_backward", x.size(),
                       [=](T* out) { upsample2d_backward<T>({data, y}, upsample, {out, x}); }});
    }
    return all;
}

template <typename T>
std::vector<Operation<T>> layers() {
    const index_t n = 70, in = 600, out = 130;
    const T* data = numbers<T>(n * in);
    const T* weight = numbers<T>(out * in) + 77;
    return {
        {"linear", n * out,
         [=](T* y) { linear<T>({data, n, in}, {weight, out, in}, data, {y, n, out}); }},
        {"linear_backward_input", n * in,
         [=](T* dx) { linear_backward_input<T>({data, n, out}, {weight, out, in}, {dx, n, in}); }},
        {"linear_weight_update", out * in,
         [=](T* weights) {
             std::fill_n(weights, out * in, T{1});
             linear_weight_update<T>({data, n, out}, {weight, n, in},
                                     sgd_step<T>({}, nullptr, weights));
         }},
        {"linear_backward_weight", out * in,
         [=](T* dw) { linear_backward_weight<T>({data, n, out}, {weight, n, in}, {dw, out, in}); }},
        {"linear_backward_input of few inputs", 300 * 20,
         [=](T* dx) {
             linear_backward_input<T>({data, 300, 130}, {weight, 130, 20}, {dx, 300, 20});
         }},
        {"linear_backward_weight of few inputs", 130 * 20,
         [=](T* dw) {
             linear_backward_weight<T>({data, 300, 130}, {weight, 300, 20}, {dw, 130, 20});
         }},
        {"linear_backward_bias", 5000,
         [=](T* dbias) { linear_backward_bias<T>({data, 100, 5000}, dbias); }},
        {"softmax", 300 * 100, [=](T* y) { softmax(data, {30, 100, 10}, y); }},
        {"log_softmax", 300 * 100, [=](T* y) { log_softmax(data, {300, 100, 1}, y); }},
        {"softmax_backward", 300 * 100,
         [=](T* y) { softmax_backward(data, weight, {30, 100, 10}, y); }},
        {"log_softmax_backward", 300 * 100,
         [=](T* y) { log_softmax_backward(data, weight, {300, 100, 1}, y); }},
        {"cross_entropy", 300 * 100 + 1,
         [=](T* y) {
             const double loss = cross_entropy<T>({data, 300, 100}, weight, 0.1, y);
             y[300 * 100] = static_cast<T>(loss);
         }},
    };
}

template <typename T>
std::vector<Operation<T>> normalisations() {
    const ChannelShape shape = {6, 20, 3001};
    const Shape4 image = {6, 20, 30, 31};
    const T *x = numbers<T>(shape.size()), *gamma = x + 5, *beta = x + 50;
    const BatchNorm<T> norm = {gamma, beta, 1e-5, true};
    static const std::vector<double> mean(20, 0.1), variance(20, 0.3);
    return {
        {"batch_norm_train", shape.size() + 40,
         [=](T* y) {
             double sums[40];
             batch_norm_train(x, shape, norm, sums, sums + 20, y);
             std::copy_n(sums, 40, y + shape.size());
         }},
        {"batch_norm_backward", shape.size() + 40,
         [=](T* dx) {
             T* dgamma = dx + shape.size();
             batch_norm_backward(x + 3, x, shape, norm, {mean.data(), variance.data()}, true, dx,
                                 dgamma, dgamma + 20);
         }},
        {"batch_norm_add_train", shape.size(),
         [=](T* y) {
             double sums[40];
             batch_norm_add_train(x, x + 7, shape, norm, sums, sums + 20, y);
         }},
        {"batch_norm_add_backward", 2 * shape.size() + 40,
         [=](T* dx) {
             T *dsum = dx + shape.size(), *dgamma = dsum + shape.size();
             batch_norm_add_backward(x + 3, x + 9, x, shape, norm, {mean.data(), variance.data()},
                                     dsum, dx, dgamma, dgamma + 20);
         }},
        {"group_norm", shape.size(),
         [=](T* y) {
             double sums[60];
             group_norm(x, shape, {5, gamma, beta, 1e-5}, sums, sums + 30, y);
         }},
        {"group_norm_backward", shape.size() + 40,
         [=](T* dx) {
             static const std::vector<double> means(30, 0.1), variances(30, 0.3);
             T* dgamma = dx + shape.size();
             group_norm_backward(x + 3, x, shape, {5, gamma, beta, 1e-5},
                                 {means.data(), variances.data()}, dx, dgamma, dgamma + 20);
         }},
        {"local_response_norm", image.size(),
         [=](T* y) { local_response_norm<T>({x, image}, {}, {y, image}); }},
        {"local_response_norm_backward", image.size(),
         [=](T* dx) {
             local_response_norm_backward<T>({x + 3, image}, {x, image}, {}, {dx, image});
         }},
    };
}

template <typename T>
std::vector<Operation<T>> elementwise() {
    const index_t size = 200003;
    const T* data = numbers<T>(size);
    std::vector<Operation<T>> all;
    for (int i = 0; i < kActivations; ++i) {
        const auto f = static_cast<Activation>(i);
        const std::string number = std::to_string(i);
        all.push_back({"activate " + number, size, [=](T* y) { activate(f, data, y, size); }});
        all.push_back({"activate_backward " + number, size,
                       [=](T* dx) { activate_backward(f, data, data + 9, dx, size); }});
    }
    const ChannelShape planes = {3, 7, 9523};
    all.push_back({"prelu", planes.size(), [=](T* y) { prelu(data, planes, data + 9, y); }});
    all.push_back({"prelu_backward", planes.size() + planes.channels, [=](T* dx) {
                       prelu_backward(data, data + 9, planes, data, dx, dx + planes.size());
                   }});
    const float* draws = numbers<float>(size);
    all.push_back(
        {"dropout", 2 * size, [=](T* y) { dropout(data, draws, 0.5F, T{2}, y, y + size, size); }});
    all.push_back({"add", size, [=](T* y) { add(data, data + 9, true, y, size); }});
    // The moments are stored after the parameters.
    const auto optimizer = [&](const char* name, auto step) {
        all.push_back({name, 3 * size, [=](T* state) {
                           std::fill_n(state, 3 * size, T{1});
                           step(data, state + size, state + 2 * size, state);
                       }});
    };
    optimizer("sgd", [=](const T* grad, T* first, T*, T* param) {
        update(sgd_step({0.1, 0.9, 0.01, true}, first, param), grad, size);
    });
    optimizer("adagrad", [=](const T* grad, T* first, T*, T* param) {
        update(adagrad_step({}, first, param), grad, size);
    });
    optimizer("rmsprop", [=](const T* grad, T* first, T*, T* param) {
        update(rmsprop_step({}, first, param), grad, size);
    });
    optimizer("adam", [=](const T* grad, T* first, T* second, T* param) {
        update(adam_step({}, first, second, param), grad, size);
    });
    return all;
}

template <typename T>
std::vector<T> result(const Operation<T>& operation) {
    std::vector<T> out(operation.size);
    operation.run(out.data());
    return out;
}

class SameBitsTest : public IsaTest {
  protected:
    template <typename T>
    void check(const std::vector<Operation<T>>& operations) {
        for (const Operation<T>& operation : operations) {
            set_num_threads(1);
            const std::vector<T> serial = result(operation);
            for (const auto& [team, threads] : crews({2, 3, 8})) {
                use(team, threads);
                EXPECT_TRUE(same_bits(result(operation), serial))
                    << operation.name << " with " << threads << " threads, " << team;
            }
        }
    }

  private:
    KeepThreads keep_;
};
POCKETCNN_FOR_EVERY_ISA(SameBitsTest);

TEST_P(SameBitsTest, Convolutions) {
    check(convolutions<float>());
    check(convolutions<double>());
}

TEST_P(SameBitsTest, Poolings) {
    check(poolings<float>());
    check(poolings<double>());
}

TEST_P(SameBitsTest, Resizings) {
    check(resizings<float>());
    check(resizings<double>());
}

TEST_P(SameBitsTest, Layers) {
    check(layers<float>());
    check(layers<double>());
}

TEST_P(SameBitsTest, Normalisations) {
    check(normalisations<float>());
    check(normalisations<double>());
}

TEST_P(SameBitsTest, Elementwise) {
    check(elementwise<float>());
    check(elementwise<double>());
}

class CallersTest : public TeamTest {};
POCKETCNN_FOR_EVERY_TEAM(CallersTest);

TEST_P(CallersTest, ManyCallersAtOnceGetTheSameBits) {
    set_num_threads(2);
    const std::vector<Operation<float>> operations = convolutions<float>();
    std::vector<std::vector<float>> wanted;
    for (const auto& operation : operations) wanted.push_back(result(operation));
    constexpr int callers = 4;
    int wrong[callers] = {};
    std::vector<std::thread> threads;
    for (int caller = 0; caller < callers; ++caller) {
        threads.emplace_back([&, caller] {
            for (std::size_t i = 0; i < operations.size(); ++i) {
                wrong[caller] += !same_bits(result(operations[i]), wanted[i]);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const int count : wrong) EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace pocketcnn::tests
