// Computes a network that Python saved, without Python:
//
//     classify model.safetensors images.raw scores.raw
//
// images.raw holds numbers of the network's type, one image after the other, as NumPy's `tofile`
// writes them. The scores go to scores.raw, and the class of each image to the screen.
#include <pocketcnn/model.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

using pocketcnn::index_t;

namespace {

index_t size_of(const std::vector<index_t>& shape) {
    return std::accumulate(shape.begin(), shape.end(), index_t{1}, std::multiplies<>());
}

template <typename T>
std::vector<T> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file) throw std::runtime_error(path + " cannot be read");
    std::vector<T> numbers(static_cast<std::size_t>(file.tellg()) / sizeof(T));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(numbers.data()),
              static_cast<std::streamsize>(numbers.size() * sizeof(T)));
    return numbers;
}

template <typename T>
void write(const std::string& path, const std::vector<T>& numbers) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(numbers.data()),
               static_cast<std::streamsize>(numbers.size() * sizeof(T)));
    if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

template <typename T>
void classify(const pocketcnn::Model& model, const std::string& from, const std::string& to) {
    const std::vector<T> images = read<T>(from);
    const index_t n = static_cast<index_t>(images.size()) / size_of(model.input_shape());
    const index_t classes = size_of(model.output_shape());
    std::vector<T> scores(static_cast<std::size_t>(n * classes));
    model.predict(images.data(), n, scores.data());
    write(to, scores);
    for (index_t i = 0; i < n; ++i) {
        const auto first = scores.begin() + i * classes;
        const auto best = std::distance(first, std::max_element(first, first + classes));
        std::cout << "image " << i << ": class " << best;
        // As many as there are scores, where the file has them.
        if (static_cast<index_t>(model.classes().size()) == classes) {
            std::cout << ", " << model.classes()[static_cast<std::size_t>(best)];
        }
        std::cout << '\n';
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::cerr << "usage: classify model.safetensors images.raw scores.raw\n";
        return 2;
    }
    try {
        const pocketcnn::Model model = pocketcnn::Model::load(argv[1]);
        if (model.dtype() == pocketcnn::DType::float32) {
            classify<float>(model, argv[2], argv[3]);
        } else {
            classify<double>(model, argv[2], argv[3]);
        }
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    return 0;
}
