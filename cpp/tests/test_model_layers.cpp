// What the layers of a model file give, in numbers worked out by hand; tests/test_cpp_model.py
// compares whole networks with Python.
#include <gtest/gtest.h>
#include <pocketcnn/model.h>

#include <cmath>
#include <ostream>
#include <string>
#include <vector>

#include "isa_test.h"
#include "model_files.h"

namespace pocketcnn::tests {
namespace {

struct Weights {
    std::string name, shape;
    std::vector<float> values;
};

struct LayerCase {
    std::string name;
    std::string layers;
    std::string input_shape;
    std::vector<float> image, wanted;
    std::vector<Weights> weights = {};
};

void PrintTo(const LayerCase& given, std::ostream* out) {
    *out << given.name;
}

std::string layer(const std::string& name, const std::string& kind,
                  const std::string& config = "") {
    return R"({"name":")" + name + R"(","kind":")" + kind + R"(","config":{)" + config + "}}";
}

/// One layer, called "a", of the image -1, 3.
LayerCase on_a_row(const std::string& kind, const std::string& config, std::vector<float> wanted,
                   std::vector<Weights> weights = {}) {
    return {kind + "_" + std::to_string(config.size()),
            layer("a", kind, config),
            "[1,1,2]",
            {-1, 3},
            std::move(wanted),
            std::move(weights)};
}

/// y = 2 x + 1.
const std::string kDoubling =
    layer("conv", "Conv2d", R"("in_channels":1,"out_channels":1,"kernel_size":1)");
const std::vector<Weights> kDoublingWeights = {{"conv.weight", "[1,1,1,1]", {2}},
                                               {"conv.bias", "[1]", {1}}};

/// (x - 1) / 2 * 4 + 1, with no eps.
const std::string kNorm = R"("num_features":1,"eps":0)";
std::vector<Weights> norm_weights(const std::string& name) {
    return {{name + ".weight", "[1]", {4}},
            {name + ".bias", "[1]", {1}},
            {name + ".running_mean", "[1]", {1}},
            {name + ".running_var", "[1]", {4}}};
}

std::vector<Weights> joined(std::vector<Weights> a, const std::vector<Weights>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

std::vector<LayerCase> activations() {
    const auto each = [](auto f) { return std::vector<float>{f(-1.0F), f(3.0F)}; };
    const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
    return {
        on_a_row("ReLU", "", {0, 3}),
        on_a_row("ReLU6", "", {0, 3}),
        on_a_row("LeakyReLU", R"("negative_slope":0.5)", {-0.5, 3}),
        on_a_row("ELU", R"("alpha":2)", {2 * std::expm1(-1.0F), 3}),
        on_a_row("HardSigmoid", "", {1.0F / 3, 1}),
        on_a_row("HardSwish", "", {-1.0F / 3, 3}),
        on_a_row("Sigmoid", "", each(sigmoid)),
        on_a_row("Tanh", "", each([](float x) { return std::tanh(x); })),
        on_a_row("SiLU", "", each([&](float x) { return x * sigmoid(x); })),
        on_a_row("GELU", "", each([](float x) { return x * std::erfc(-x * 0.70710678F) / 2; })),
        on_a_row("GELU", R"("approximate":"tanh")", each([](float x) {
                     return x * (1 + std::tanh(0.79788456F * (x + 0.044715F * x * x * x))) / 2;
                 })),
        on_a_row("PReLU", "", {-0.25, 3}, {{"a.weight", "[1]", {0.25}}}),
        {"PReLUs",
         layer("a", "PReLU", R"("channels":2)"),
         "[2]",
         {-1, -1},
         {-2, -3},
         {{"a.weight", "[2]", {2, 3}}}},
    };
}

std::vector<LayerCase> windows() {
    return {
        on_a_row("MaxPool2d", R"("kernel_size":[1,2])", {3}),
        on_a_row("AvgPool2d", R"("kernel_size":[1,2])", {1}),
        on_a_row("AvgPool2d", R"("kernel_size":[1,2],"stride":1,"padding":"same")", {1, 1.5}),
        on_a_row("AvgPool2d",
                 R"("kernel_size":[1,2],"stride":1,"padding":"same","count_include_pad":false)",
                 {1, 3}),
        on_a_row("GlobalMaxPool2d", "", {3}),
        on_a_row("GlobalAvgPool2d", "", {1}),
        on_a_row("Upsample", R"("scale_factor":[1,2])", {-1, -1, 3, 3}),
        on_a_row("Upsample", R"("scale_factor":[1,2],"mode":"bilinear")", {-1, 0, 2, 3}),
        on_a_row("ConvTranspose2d",
                 R"("in_channels":1,"out_channels":1,"kernel_size":[1,2],"stride":2,"padding":0)",
                 {-3, -4, 13, 16}, {{"a.weight", "[1,1,1,2]", {4, 5}}, {"a.bias", "[1]", {1}}}),
        // What is appended behind the filters is the bias alone.
        on_a_row("ConvTranspose2d",
                 R"("in_channels":1,"out_channels":1,"kernel_size":1,"stride":[1,2],)"
                 R"("output_padding":[0,1])",
                 {-3, 1, 13, 1}, {{"a.weight", "[1,1,1,1]", {4}}, {"a.bias", "[1]", {1}}}),
        {"Grouped",
         layer("a", "Conv2d",
               R"("in_channels":2,"out_channels":2,"kernel_size":1,"groups":2,)"
               R"("bias":false)"),
         "[2,1,1]",
         {1, 2},
         {3, 8},
         {{"a.weight", "[2,1,1,1]", {3, 4}}}},
    };
}

std::vector<LayerCase> other_layers() {
    const float half = 1 / (1 + std::exp(4.0F));
    return {
        on_a_row("BatchNorm2d", kNorm, {-3, 5}, norm_weights("a")),
        on_a_row("GroupNorm", R"("groups":1,"channels":1,"eps":0)", {-3, 5},
                 {{"a.weight", "[1]", {4}}, {"a.bias", "[1]", {1}}}),
        on_a_row("LocalResponseNorm", R"("size":1,"alpha":1,"beta":1,"k":1)", {-0.5, 0.3F}),
        on_a_row("Normalize", R"("mean":[1],"std":[2])", {-1, 1}),
        on_a_row("Dropout", R"("p":0.5)", {-1, 3}),
        on_a_row("Softmax", R"("axis":3)", {half, 1 - half}),
        on_a_row("Softmax", R"("axis":-4)", {1, 1}),
        on_a_row("LogSoftmax", R"("axis":3)", {std::log(half), std::log(1 - half)}),
        on_a_row("Clip", R"("low":0.5,"high":null)", {0.5, 3}),
        on_a_row("Clip", R"("low":null,"high":-2)", {-2, -2}),
        on_a_row("ScaleShift", R"("scale":-2,"shift":1)", {3, -5}),
        on_a_row("ScaleShift", R"("scale":3)", {-3, 9}),
        on_a_row("Reshape", R"("shape":[2,1])", {-1, 3}),
        on_a_row("Permute", R"("axes":[2,0,1])", {-1, 3}),
        on_a_row("Slice", R"("start":1,"stop":2,"axis":3)", {3}),
        {"Permuted",
         layer("a", "Permute", R"("axes":[1,2,0])"),
         "[2,1,3]",
         {1, 2, 3, 4, 5, 6},
         {1, 4, 2, 5, 3, 6}},
        {"Sliced",
         layer("a", "Slice", R"("start":0,"stop":3,"axis":3,"step":2)"),
         "[2,1,3]",
         {1, 2, 3, 4, 5, 6},
         {1, 3, 4, 6}},
        on_a_row("ZeroPad2d", R"("padding":[[1,0],[0,1]])", {0, 0, 0, -1, 3, 0}),
        on_a_row("ZeroPad2d", R"("padding":[[0,0],[-1,0]])", {3}),
        {"Shuffled",
         layer("a", "ChannelShuffle", R"("groups":2)"),
         "[4,1,1]",
         {1, 2, 3, 4},
         {1, 3, 2, 4}},
    };
}

std::vector<LayerCase> fused_layers() {
    const std::string pool = layer("pool", "MaxPool2d", R"("kernel_size":[1,2])");
    const std::string norm = layer("norm", "BatchNorm2d", kNorm);
    const std::vector<Weights> normed = joined(kDoublingWeights, norm_weights("norm"));
    const std::string relu = layer("relu", "ReLU");
    const std::string residual =
        layer("block", "Residual", R"("body":[)" + layer("a", "Tanh") + R"(],"shortcut":null)");
    return {
        {"ConvRelu", kDoubling + "," + relu, "[1,1,2]", {-1, 3}, {0, 7}, kDoublingWeights},
        {"ConvReluMax",
         kDoubling + "," + relu + "," + pool,
         "[1,1,2]",
         {-1, 3},
         {7},
         kDoublingWeights},
        {"ConvTanh",
         kDoubling + "," + layer("tanh", "Tanh"),
         "[1,1,2]",
         {-1, 3},
         {std::tanh(-1.0F), std::tanh(7.0F)},
         kDoublingWeights},
        {"ConvLeaky",
         kDoubling + "," + layer("leaky", "LeakyReLU", R"("negative_slope":2)"),
         "[1,1,2]",
         {-1, 3},
         {-2, 7},
         kDoublingWeights},
        {"ConvNormReluMax",
         kDoubling + "," + norm + "," + relu + "," + pool,
         "[1,1,2]",
         {-1, 3},
         {13},
         normed},
        {"ConvNorm", kDoubling + "," + norm, "[1,1,2]", {-1, 3}, {-3, 13}, normed},
        {"ResidualRelu", residual + "," + relu, "[1,1,2]", {-1, 3}, {0, 3 + std::tanh(3.0F)}},
        {"DropoutLast",
         relu + "," + layer("drop", "Dropout", R"("p":0)"),
         "[1,1,2]",
         {-1, 3},
         {0, 3}},
    };
}

std::vector<LayerCase> every_case() {
    std::vector<LayerCase> cases;
    for (const auto& some : {activations(), windows(), other_layers(), fused_layers()}) {
        cases.insert(cases.end(), some.begin(), some.end());
    }
    return cases;
}

Model model_of(const LayerCase& one) {
    std::string tensors, data;
    for (const Weights& weights : one.weights) {
        const std::size_t begin = data.size();
        data += bytes_of(weights.values);
        tensors += (begin == 0 ? "\"" : ",\"") + weights.name + R"(":{"dtype":"F32","shape":)" +
                   weights.shape + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
                   std::to_string(data.size()) + "]}";
    }
    const ModelFile file;
    return file.load(model_file(architecture(one.layers, one.input_shape), tensors, data));
}

class ModelLayers : public CaseTest<LayerCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, ModelLayers, ::testing::ValuesIn(every_case()),
                         case_name<LayerCase>);

TEST_P(ModelLayers, GiveWhatTheirFormulasSay) {
    const Model model = model_of(test_case());
    std::vector<float> scores(test_case().wanted.size());
    index_t size = 1;
    for (const index_t extent : model.output_shape()) size *= extent;
    ASSERT_EQ(size, static_cast<index_t>(scores.size()));
    model.predict(test_case().image.data(), 1, scores.data());
    for (std::size_t i = 0; i < scores.size(); ++i) {
        EXPECT_NEAR(scores[i], test_case().wanted[i], 1e-6 * (1 + std::abs(scores[i]))) << i;
    }
}

}  // namespace
}  // namespace pocketcnn::tests
