// NumPy arrays to views and back. Python has checked and converted the arguments already, but no
// function here trusts that: what arrives is C-contiguous, aligned and of the right type, or
// pybind11 refuses it, and the arrays' shapes are compared with each other before any is read.
//
// A function is registered once for float and double, because what pybind11 instantiates for a
// registered function takes the compiler longer than the function itself.
#pragma once

#include <pocketcnn/types.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gil.h"

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

extern template class Array<double>;
extern template class Array<std::int32_t>;
extern template class Array<index_t>;

/// As an argument it takes aligned C-contiguous arrays of float or of double, without conversion.
class Floats : public py::array {
  public:
    using py::array::array;

    static bool check_(py::handle object);

    /// NumPy's number of the type of the elements.
    int type_number() const;
    /// Throws a TypeError where it is another.
    void require_type(int number) const;

    /// The elements, if they are of T: all arrays of a call are of its first one's type.
    template <typename T>
    const T* data() const {
        require_type(py::dtype::num_of<T>());
        return static_cast<const T*>(py::array::data());
    }
    template <typename T>
    T* mutable_data() {
        require_type(py::dtype::num_of<T>());
        return static_cast<T*>(py::array::mutable_data());
    }
};

template <typename T>
const T* data_or_null(const std::optional<Floats>& array) {
    return array ? array->data<T>() : nullptr;
}

template <typename T>
T* mutable_data_or_null(std::optional<Floats>& array) {
    return array ? array->mutable_data<T>() : nullptr;
}

/// Calls f<T>(), where T is the type of the elements of x, without the interpreter's lock.
template <typename F>
void compute(const Floats& x, const F& f,
             WithoutGil::Signals signals = WithoutGil::Signals::heard) {
    const WithoutGil released(signals);
    if (x.type_number() == py::dtype::num_of<float>()) {
        f.template operator()<float>();
    } else {
        f.template operator()<double>();
    }
}

using Shape = std::vector<py::ssize_t>;

/// As Python writes it.
std::string text_of(const Shape& shape);
std::string text_of(const Shape4& shape);

Shape shape_of(const py::array& array);
Shape shape_of(const Shape4& shape);

/// A new array whose memory comes from, and returns to, the pool.
py::array new_array(const py::dtype& type, const Shape& shape);

template <typename T>
Array<T> new_array(const Shape& shape) {
    return py::reinterpret_steal<Array<T>>(new_array(py::dtype::of<T>(), shape).release());
}

/// With elements of x's type.
Floats new_floats(const Floats& x, const Shape& shape);
Floats new_image(const Floats& x, const Shape4& shape);
Floats new_like(const Floats& x);

inline Shape4 shape4(const std::array<index_t, 4>& sizes) {
    return {sizes[0], sizes[1], sizes[2], sizes[3]};
}

py::tuple tuple_of(std::initializer_list<index_t> numbers);
inline py::tuple tuple_of(const Shape4& shape) {
    return tuple_of({shape.n, shape.c, shape.h, shape.w});
}

/// The results of a function; one that is not there is None.
py::tuple results(std::initializer_list<py::handle> objects);

template <typename Result>
py::handle or_none(const std::optional<Result>& result) {
    return result ? py::handle(*result) : py::handle();
}

Shape4 shape4(const py::array& array);

template <typename T>
ImageView<const T> image(const Floats& array) {
    return {array.data<T>(), shape4(array)};
}

template <typename T>
ImageView<T> mutable_image(Floats& array) {
    return {array.mutable_data<T>(), shape4(array)};
}

/// Refuses what is not a matrix.
void require_matrix(const py::array& array);

template <typename T>
MatrixView<const T> matrix(const Floats& array) {
    require_matrix(array);
    return {array.data<T>(), array.shape(0), array.shape(1)};
}

template <typename T>
MatrixView<T> mutable_matrix(Floats& array) {
    require_matrix(array);
    return {array.mutable_data<T>(), array.shape(0), array.shape(1)};
}

void require_shape(const py::array& array, const Shape& shape, const char* name);
void require_shape(const py::array& array, const Shape4& shape, const char* name);

}  // namespace pocketcnn::bindings

template <typename T>
struct pybind11::detail::handle_type_name<pocketcnn::bindings::Array<T>>
    : handle_type_name<typename pocketcnn::bindings::Array<T>::Base> {};

template <>
struct pybind11::detail::handle_type_name<pocketcnn::bindings::Floats> {
    static constexpr auto name = const_name("numpy.typing.NDArray[numpy.float32 | numpy.float64]");
};
