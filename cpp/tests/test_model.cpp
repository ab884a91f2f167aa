// Files of networks: what is read, and what is refused and why. That scores have Python's bits is
// tested in tests/test_cpp_model.py.
#include <gtest/gtest.h>
#include <pocketcnn/model.h>
#include <sys/stat.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "model/crc32.h"
#include "model_files.h"
#include "session/text.h"

namespace pocketcnn::tests {
namespace {

constexpr const char* kFlat = R"({"name":"flat","kind":"Flatten","config":{}})";
constexpr const char* kLinear =
    R"({"name":"fc","kind":"Linear","config":{"in_features":2,"out_features":2,"bias":false}})";
constexpr const char* kWeight =
    R"("fc.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})";

std::string small_network() {
    return architecture(std::string(kFlat) + "," + kLinear);
}

class ModelTest : public ::testing::Test {
  protected:
    const std::string& path() const { return file_.path(); }
    Model load(const std::string& content) const { return file_.load(content); }

    /// Why a file is refused, without its path.
    std::string refusal(const std::string& content) const {
        try {
            load(content);
        } catch (const std::runtime_error& error) {
            const std::string message = error.what();
            EXPECT_TRUE(message.starts_with(path() + " ")) << message;
            return message.substr(path().size());
        }
        ADD_FAILURE() << "the file was read: " << content;
        return "";
    }

    /// Why a network is, of which no tensor is needed.
    std::string refused_layers(const std::string& layers) const {
        return refusal(model_file(architecture(layers), "", ""));
    }

  private:
    ModelFile file_;
};

void expect_contains(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << "\nhas no\n" << part;
}

TEST_F(ModelTest, ComputesASmallNetwork) {
    const Model model = load(model_file(small_network(), kWeight, bytes_of({1, 2, 3, 4})));
    EXPECT_EQ(model.input_shape(), (std::vector<index_t>{1, 1, 2}));
    EXPECT_EQ(model.output_shape(), (std::vector<index_t>{2}));
    EXPECT_EQ(model.dtype(), DType::float32);
    EXPECT_TRUE(model.classes().empty());
    const std::vector<float> images = {1, 0, 0, 1, 5, -1};
    std::vector<float> scores(6);
    model.predict(images.data(), 3, scores.data());
    EXPECT_EQ(scores, (std::vector<float>{1, 3, 2, 4, 3, 11}));
    model.predict(static_cast<const float*>(nullptr), 0, nullptr);
}

TEST_F(ModelTest, KnowsItsClasses) {
    std::string named = small_network();
    named.insert(named.size() - 1, R"(,"classes":["cat","dog"])");
    const std::string weight = bytes_of({1, 2, 3, 4});
    EXPECT_EQ(load(model_file(named, kWeight, weight)).classes(),
              (std::vector<std::string>{"cat", "dog"}));
    named.replace(named.find("\"dog\""), 5, "3");
    expect_contains(refusal(model_file(named, kWeight, weight)), "must be 2 names");
}

TEST_F(ModelTest, RefusesArraysThatItCannotTake) {
    const Model model = load(model_file(small_network(), kWeight, bytes_of({1, 2, 3, 4})));
    std::vector<double> wide(2);
    std::vector<float> x(2);
    EXPECT_THROW(model.predict(wide.data(), 1, wide.data()), std::invalid_argument);
    EXPECT_THROW(model.predict(x.data(), -1, x.data()), std::invalid_argument);
    EXPECT_THROW(model.predict(nullptr, 1, x.data()), std::invalid_argument);
}

TEST_F(ModelTest, ServesManyThreadsAtOnce) {
    const Model model = load(model_file(small_network(), kWeight, bytes_of({1, 2, 3, 4})));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([copy = model, i] {
            const std::vector<float> image = {static_cast<float>(i), 1};
            std::vector<float> scores(2);
            for (int again = 0; again < 100; ++again) {
                copy.predict(image.data(), 1, scores.data());
                ASSERT_EQ(scores[0], image[0] + 2);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

TEST_F(ModelTest, RefusesWhatIsNoRegularFile) {
    EXPECT_THROW(Model::load(path()), std::system_error);
    EXPECT_THROW(Model::load(::testing::TempDir()), std::runtime_error);
#if !defined(_WIN32)
    ASSERT_EQ(mkfifo(path().c_str(), 0600), 0);
    EXPECT_THROW(Model::load(path()), std::runtime_error);  // and does not wait for a writer
#endif
}

TEST_F(ModelTest, RefusesHeadersThatCannotBe) {
    expect_contains(refusal(""), "no header of a possible length");
    expect_contains(refusal("1234567"), "no header of a possible length");
    expect_contains(refusal(std::string(7, '\0') + '\x7f'), "no header of a possible length");
    expect_contains(refusal(std::string(8, '\xff') + "{}"), "no header of a possible length");
    expect_contains(refusal(container("{}").substr(0, 9)), "no header of a possible length");
    expect_contains(refusal(container("[")), "it is not JSON");
    expect_contains(refusal(container("{\"\xff\":0}")), "it is not JSON");
    expect_contains(refusal(container("[]")), "its header holds no names");
    expect_contains(refusal(container(R"({"a":0,"a":0})")), "a name occurs twice");
    expect_contains(refusal(container(std::string(1000, '[') + std::string(1000, ']'))),
                    "too many levels");
    expect_contains(refusal(container(R"({"__metadata__":{"a":1}})")), "no text by name");
    expect_contains(refusal(container("{}")), "a safetensors file, but not a pocketcnn model");
    // A header of 33 MiB, which need not be read to be refused.
    expect_contains(refusal(container(std::string(33U << 20U, ' '))), "no header of a possible");
}

TEST_F(ModelTest, RefusesTensorsThatCannotBe) {
    const auto refused = [&](const std::string& entry, std::size_t bytes) {
        return refusal(container(R"({"t":)" + entry + "}", std::string(bytes, '\0')));
    };
    for (const char* entry :
         {"0", "{}", R"({"dtype":"F32","shape":[1]})",
          R"({"dtype":"X","shape":[1],"data_offsets":[0,4]})",
          R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})",
          R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})",
          R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})",
          R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})",
          R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]})"}) {
        expect_contains(refused(entry, 4), "'t' has no known type, shape and place");
    }
    expect_contains(refused(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})", 8),
                    "does not lie where its size");
    expect_contains(refused(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})", 8),
                    "does not lie where its size");
    expect_contains(refused(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})", 3),
                    "its header tells of 4 bytes, but 3 follow");
    const std::string both = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
    expect_contains(refusal(container(both, "12341234")), "'b' does not lie where");
}

TEST_F(ModelTest, VerifiesChecksums) {
    EXPECT_EQ(model::crc32("123456789", 9), 0xCBF43926U);
    const std::string weight = bytes_of({1, 2, 3, 4});
    const auto hex = [](std::uint32_t crc) {
        char text[9];
        std::snprintf(text, sizeof(text), "%08x", crc);
        return std::string(text);
    };
    const auto stated = [&](const std::string& header_crc) {
        const std::string crc = hex(model::crc32(weight.data(), weight.size()));
        return model_file(small_network(), kWeight, weight,
                          std::string(kFormat) + R"(,"data_crc32":")" + crc +
                              R"(","header_crc32":")" + header_crc + '"');
    };
    const std::string blank = stated("00000000");
    const std::size_t header = blank.size() - weight.size();
    std::string whole = stated(hex(model::crc32(blank.data(), header)));
    load(whole);
    expect_contains(refusal(blank), "its header has another checksum");
    whole.back() ^= 1;
    expect_contains(refusal(whole), "its arrays have another checksum");
}

TEST_F(ModelTest, RefusesOtherVersions) {
    const auto refused = [&](const std::string& metadata) {
        return refusal(model_file(small_network(), kWeight, bytes_of({1, 2, 3, 4}), metadata));
    };
    expect_contains(refused(R"("format":"other")"), "not a pocketcnn model");
    expect_contains(refused(R"("format":"pocketcnn")"), "format version ''");
    for (const char* version : {"0", "-1", "x", "1.0", "1000000000"}) {
        expect_contains(
            refused(R"("format":"pocketcnn","format_version":")" + std::string(version) + '"'),
            "format version '");
    }
    expect_contains(refused(R"("format":"pocketcnn","format_version":"3")"),
                    "was written by a newer pocketcnn");
}

TEST_F(ModelTest, RefusesTensorsThatDoNotFit) {
    const std::string data = bytes_of({1, 2, 3, 4});
    const auto refused = [&](const std::string& tensors) {
        return refusal(model_file(small_network(), tensors, data));
    };
    expect_contains(refusal(model_file(small_network(), "", "")),
                    "layer 'fc' (Linear): its tensor 'fc.weight' is missing");
    expect_contains(refused(R"("fc.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
                    "has shape (4,), but must have (2, 2)");
    expect_contains(refused(R"("fc.weight":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]})"),
                    "tensor 'fc.weight' is F64, but the network is float32");
    expect_contains(refusal(model_file(small_network(),
                                       std::string(kWeight) + R"(,"x":{"dtype":"F32","shape":[0],)"
                                                              R"("data_offsets":[16,16]})",
                                       data)),
                    "no layer has the tensor 'x'");
}

TEST_F(ModelTest, RefusesArchitecturesThatCannotBe) {
    const auto refused = [&](const std::string& text) { return refusal(model_file(text, "", "")); };
    expect_contains(refused("{"), "it is not JSON");
    expect_contains(refused("[]"), "the architecture lacks 'dtype'");
    expect_contains(refused(R"({"dtype":"float16"})"), "dtype is 'float16'");
    expect_contains(refused(R"({"dtype":"float32"})"), "lacks 'input_shape'");
    expect_contains(refused(R"({"dtype":"float32","input_shape":[1,0,2],"layers":[]})"),
                    "a size of input_shape is 0");
    expect_contains(refused(R"({"dtype":"float32","input_shape":[1],"layers":[]})"),
                    "at least one layer");
    expect_contains(refused(R"({"dtype":"float32","input_shape":[1,2147483648,2147483648],)"
                            R"("layers":[]})"),
                    "larger than any memory");
    std::string deep = R"({"name":"a","kind":"Flatten","config":{}})";
    for (int i = 0; i < 100; ++i) {
        deep = R"({"name":"a","kind":"Residual","config":{"body":[)" + deep + "]}}";
    }
    expect_contains(refused(architecture(deep)), "too many levels");
}

TEST_F(ModelTest, RefusesLayersByName) {
    expect_contains(refused_layers(R"({"name":"mine","kind":"My\nLayer","config":{}})"),
                    R"(layer 'mine' is of the class 'My\x0aLayer', which C++ does not have)");
    expect_contains(refused_layers(R"({"name":"a.b","kind":"ReLU","config":{}})"),
                    "a layer's name is 'a.b'");
    expect_contains(refused_layers(std::string(kFlat) + "," + kFlat),
                    "two layers are named 'flat'");
    expect_contains(refused_layers(R"({"name":"a","config":{}})"), "lacks 'kind'");
    expect_contains(refused_layers(R"({"name":"a","kind":"ReLU","config":[]})"),
                    "its settings are no names with values");
    expect_contains(refused_layers(R"({"name":"a","kind":"ReLU","config":{"slope":1}})"),
                    "layer 'a' (ReLU): the setting 'slope' is not one");
    expect_contains(refused_layers(R"({"name":"a","kind":"Softmax","config":{"axis":4}})"),
                    "layer 'a' (Softmax): axis is 4, but its input has 4 axes");
    const std::string inner = R"({"name":"c","kind":"MaxPool2d","config":{"kernel_size":[2,3,4]}})";
    expect_contains(
        refused_layers(R"({"name":"a","kind":"Residual","config":{"body":[)" + inner + "]}}"),
        "layer 'a.body.c' (MaxPool2d): kernel_size is [2,3,4], but must be a whole number or two");
    expect_contains(refused_layers(R"({"name":"a","kind":"Residual","config":{"body":[)" +
                                   std::string(kFlat) + "]}}"),
                    "layer 'a' (Residual): its body gives (2,), but its shortcut (1, 1, 2)");
}

TEST_F(ModelTest, RefusesSettings) {
    const auto refused = [&](const std::string& kind, const std::string& config) {
        return refused_layers(R"({"name":"a","kind":")" + kind + R"(","config":{)" + config + "}}");
    };
    expect_contains(refused("Linear", R"("in_features":2)"), "the setting out_features is missing");
    expect_contains(refused("MaxPool2d", R"("kernel_size":0)"), "kernel_size is 0, but must be");
    expect_contains(refused("MaxPool2d", R"("kernel_size":1e3)"), "kernel_size is 1000.0");
    expect_contains(refused("MaxPool2d", R"("kernel_size":18446744073709551615)"), "kernel_size");
    expect_contains(refused("MaxPool2d", R"("kernel_size":3)"), "spans 3");
    expect_contains(refused("MaxPool2d", R"("kernel_size":1,"padding":"half")"), "padding is");
    expect_contains(refused("MaxPool2d", R"("kernel_size":1,"padding":[[1,1],[1]])"), "padding is");
    expect_contains(refused("MaxPool2d", R"("kernel_size":1,"ceil_mode":1)"), "ceil_mode is 1");
    expect_contains(refused("LocalResponseNorm", R"("size":3,"beta":-1)"), "beta is -1");
    expect_contains(refused("Normalize", R"("mean":[0,"x"],"std":[1,1])"), "mean is [0,\"x\"]");
    expect_contains(refused("Upsample", R"("scale_factor":0)"), "scale");
    expect_contains(refused("ZeroPad2d", R"("padding":-1)"), "leaves nothing");
    expect_contains(refused("ChannelShuffle", R"("groups":2)"), "do not divide");
    expect_contains(refused("GELU", R"("approximate":"erf")"), "approximate is 'erf'");
    expect_contains(refused("PReLU", R"("channels":3)"), "it takes 3 channels, but gets (1, 1, 2)");
    expect_contains(refused("Conv2d", R"("in_channels":3,"out_channels":1,"kernel_size":1)"),
                    "it takes 3 channels, but gets 1");
    // Too large for memory, but no number overflows.
    expect_contains(refused("ZeroPad2d", R"("padding":2147483648)"), "larger than any memory");
}

TEST_F(ModelTest, RefusesGraphsThatCannotBe) {
    const auto layer = [](const std::string& name, const std::string& kind,
                          const std::string& inputs) {
        return R"({"name":")" + name + R"(","kind":")" + kind + R"(","config":{},"inputs":)" +
               inputs + "}";
    };
    expect_contains(refused_layers(layer("a", "ReLU", R"(["b"])")),
                    "layer 'a' takes \"b\", but no entry before it has that name");
    expect_contains(refused_layers(layer("a", "ReLU", "[1]")), "layer 'a' takes 1");
    expect_contains(refused_layers(layer("a", "ReLU", "[]")), "it takes 1 input, not 0");
    expect_contains(refused_layers(layer("a", "Add", R"("input")")), "2 inputs or more, not 1");
    expect_contains(
        refused_layers(layer("a", "ReLU", R"("input")") + "," + layer("b", "ReLU", R"("input")")),
        "no layer takes what layer 'a' gives");
    expect_contains(
        refused_layers(std::string(kFlat) + "," + layer("a", "Add", R"(["flat","input"])")),
        "inputs of as many axes, but has (2,) and (1, 1, 2)");
}

TEST_F(ModelTest, RepeatsAxesOfSizeOne) {
    const std::string pooled = R"({"name":"mean","kind":"GlobalAvgPool2d","config":{}})";
    const std::string wide =
        R"({"name":"pad","kind":"ZeroPad2d","config":{"padding":[[0,1],[0,0]]},)"
        R"("inputs":["input"]})";
    const std::string three = R"({"name":"product","kind":"Multiply","config":{},)"
                              R"("inputs":["mean","input","pad"]})";
    const Model model = load(model_file(architecture(pooled + "," + wide + "," + three), "", ""));
    EXPECT_EQ(model.output_shape(), (std::vector<index_t>{1, 2, 2}));
    const std::vector<float> image = {1, 3};
    std::vector<float> scores(4);
    model.predict(image.data(), 1, scores.data());
    EXPECT_EQ(scores, (std::vector<float>{2, 18, 0, 0}));
}

TEST(ModelText, IsSafeToShow) {
    EXPECT_EQ(session::excerpt("cat\x1b[2J\xe7"), "cat\\x1b[2J\\xe7");
    EXPECT_EQ(session::excerpt(std::string(1000, 'x')).size(), 205U);
    EXPECT_EQ(session::text_of({3}), "(3,)");
    EXPECT_EQ(session::text_of({3, 4}), "(3, 4)");
}

}  // namespace
}  // namespace pocketcnn::tests
