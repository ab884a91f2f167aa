// NumPy arrays to views and back. Python has checked and converted the arguments already: what
// arrives here is C-contiguous, aligned and of the right type, or pybind11 refuses it.
#pragma once

#include <pocketcnn/types.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <vector>

#include "runtime/memory_pool.h"

namespace pocketcnn::bindings {

namespace py = pybind11;

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

/// A new array whose memory comes from, and returns to, the pool.
template <typename T>
Array<T> new_array(std::vector<py::ssize_t> shape) {
    index_t size = 1;
    for (const py::ssize_t extent : shape) size *= extent;
    Buffer<T> memory(size);
    const py::capsule owner(memory.data(), pool_release);
    return Array<T>(std::move(shape), memory.release(), owner);
}

template <typename T>
Array<T> new_image(const Shape4& shape) {
    return new_array<T>(std::vector<py::ssize_t>{shape.n, shape.c, shape.h, shape.w});
}

template <typename T>
Array<T> new_array_like(const Array<T>& other) {
    return new_array<T>(std::vector<py::ssize_t>(other.shape(), other.shape() + other.ndim()));
}

inline Shape4 shape4(const std::array<index_t, 4>& sizes) {
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

template <typename T>
Shape4 shape4(const Array<T>& array) {
    if (array.ndim() != 4) throw py::value_error("an image batch must have 4 axes");
    return {array.shape(0), array.shape(1), array.shape(2), array.shape(3)};
}

template <typename T>
ImageView<const T> image(const Array<T>& array) {
    return {array.data(), shape4(array)};
}

template <typename T>
ImageView<T> mutable_image(Array<T>& array) {
    return {array.mutable_data(), shape4(array)};
}

template <typename T>
MatrixView<const T> matrix(const Array<T>& array) {
    if (array.ndim() != 2) throw py::value_error("a matrix must have 2 axes");
    return {array.data(), array.shape(0), array.shape(1)};
}

template <typename T>
MatrixView<T> mutable_matrix(Array<T>& array) {
    if (array.ndim() != 2) throw py::value_error("a matrix must have 2 axes");
    return {array.mutable_data(), array.shape(0), array.shape(1)};
}

template <typename T>
void require_size(const Array<T>& array, index_t size, const char* name) {
    if (array.size() != size) throw py::value_error(std::string(name) + " has the wrong size");
}

/// Defines `name` for float and for double; define<T>(name) does it for one type.
#define POCKETCNN_FOR_TYPES(define, ...) \
    define<float>(__VA_ARGS__);          \
    define<double>(__VA_ARGS__)

}  // namespace pocketcnn::bindings
