// NumPy arrays to views and back. Python has checked and converted the arguments already, but no
// function here trusts that: what arrives is C-contiguous, aligned and of the right type, or
// pybind11 refuses it, and the arrays' shapes are compared with each other before any is read.
#pragma once

#include <pocketcnn/types.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "runtime/memory_pool.h"

namespace pocketcnn::bindings {

namespace py = pybind11;

/// As an argument it takes aligned C-contiguous arrays of T only, without conversion.
template <typename T>
class Array : public py::array_t<T, py::array::c_style> {
  public:
    using Base = py::array_t<T, py::array::c_style>;
    using Base::Base;

    static bool check_(py::handle object) {
        constexpr int aligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
        return Base::check_(object) && (py::detail::array_proxy(object.ptr())->flags & aligned);
    }
};

using Shape = std::vector<py::ssize_t>;

/// As Python writes it.
inline std::string text_of(const Shape& shape) {
    std::string text = "(";
    for (const py::ssize_t extent : shape)
        text += (text == "(" ? "" : ", ") + std::to_string(extent);
    return text + (shape.size() == 1 ? ",)" : ")");
}

inline std::string text_of(const Shape4& shape) {
    return text_of(Shape{shape.n, shape.c, shape.h, shape.w});
}

template <typename T>
Shape shape_of(const Array<T>& array) {
    return Shape(array.shape(), array.shape() + array.ndim());
}

/// Memory for an array of the shape.
template <typename T>
Buffer<T> room_for(const Shape& shape) {
    index_t size = 1;
    for (const py::ssize_t extent : shape) {
        if (extent < 0 || (extent > 0 && size > std::numeric_limits<index_t>::max() / extent)) {
            throw py::value_error("no array has the shape " + text_of(shape));
        }
        size *= extent;
    }
    try {
        return Buffer<T>(size);
    } catch (const std::bad_alloc&) {
        const std::string text = "a result of shape " + text_of(shape) + " needs " +
                                 std::to_string(static_cast<std::size_t>(size) * sizeof(T)) +
                                 " bytes";
        PyErr_SetString(PyExc_MemoryError, text.c_str());
        throw py::error_already_set();
    }
}

/// A new array whose memory comes from, and returns to, the pool.
template <typename T>
Array<T> new_array(Shape shape) {
    Buffer<T> memory = room_for<T>(shape);
    const py::capsule owner(memory.data(), pool_release);
    return Array<T>(std::move(shape), memory.release(), owner);
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
void require_shape(const Array<T>& array, const Shape& shape, const char* name) {
    if (shape_of(array) == shape) return;
    throw py::value_error(std::string(name) + " has shape " + text_of(shape_of(array)) +
                          ", but must have " + text_of(shape));
}
template <typename T>
void require_shape(const Array<T>& array, const Shape4& shape, const char* name) {
    require_shape(array, Shape{shape.n, shape.c, shape.h, shape.w}, name);
}

/// Defines `name` for float and for double; define<T>(name) does it for one type.
#define POCKETCNN_FOR_TYPES(define, ...) \
    define<float>(__VA_ARGS__);          \
    define<double>(__VA_ARGS__)

}  // namespace pocketcnn::bindings

template <typename T>
struct pybind11::detail::handle_type_name<pocketcnn::bindings::Array<T>>
    : handle_type_name<typename pocketcnn::bindings::Array<T>::Base> {};
