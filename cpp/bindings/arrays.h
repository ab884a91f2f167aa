// NumPy arrays to views and back. Python has checked and converted the arguments already, but no
// function here trusts that: what arrives is C-contiguous, aligned and of the right type, or
// pybind11 refuses it, and the arrays' shapes are compared with each other before any is read.
#pragma once

#include <pocketcnn/types.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace pocketcnn::bindings {

namespace py = pybind11;

/// As an argument it takes aligned C-contiguous arrays of T only, without conversion.
template <typename T>
class Array : public py::array_t<T, py::array::c_style> {
  public:
    using Base = py::array_t<T, py::array::c_style>;
    using Base::Base;

    static bool check_(py::handle object);
};

extern template class Array<float>;
extern template class Array<double>;
extern template class Array<std::int32_t>;
extern template class Array<index_t>;

using Shape = std::vector<py::ssize_t>;

/// As Python writes it.
std::string text_of(const Shape& shape);
std::string text_of(const Shape4& shape);

Shape shape_of(const py::array& array);

/// A new array whose memory comes from, and returns to, the pool.
py::array new_array(const py::dtype& type, const Shape& shape);

template <typename T>
Array<T> new_array(const Shape& shape) {
    return py::reinterpret_steal<Array<T>>(new_array(py::dtype::of<T>(), shape).release());
}

template <typename T>
Array<T> new_image(const Shape4& shape) {
    return new_array<T>(Shape{shape.n, shape.c, shape.h, shape.w});
}

template <typename T>
Array<T> new_array_like(const Array<T>& other) {
    return new_array<T>(shape_of(other));
}

inline Shape4 shape4(const std::array<index_t, 4>& sizes) {
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

inline py::tuple tuple_of(const Shape4& shape) {
    return py::make_tuple(shape.n, shape.c, shape.h, shape.w);
}

Shape4 shape4(const py::array& array);

template <typename T>
ImageView<const T> image(const Array<T>& array) {
    return {array.data(), shape4(array)};
}

template <typename T>
ImageView<T> mutable_image(Array<T>& array) {
    return {array.mutable_data(), shape4(array)};
}

/// Refuses what is not a matrix.
void require_matrix(const py::array& array);

template <typename T>
MatrixView<const T> matrix(const Array<T>& array) {
    require_matrix(array);
    return {array.data(), array.shape(0), array.shape(1)};
}

template <typename T>
MatrixView<T> mutable_matrix(Array<T>& array) {
    require_matrix(array);
    return {array.mutable_data(), array.shape(0), array.shape(1)};
}

void require_shape(const py::array& array, const Shape& shape, const char* name);
void require_shape(const py::array& array, const Shape4& shape, const char* name);

/// Defines `name` for float and for double; define<T>(name) does it for one type.
#define POCKETCNN_FOR_TYPES(define, ...) \
    define<float>(__VA_ARGS__);          \
    define<double>(__VA_ARGS__)

}  // namespace pocketcnn::bindings

template <typename T>
struct pybind11::detail::handle_type_name<pocketcnn::bindings::Array<T>>
    : handle_type_name<typename pocketcnn::bindings::Array<T>::Base> {};
