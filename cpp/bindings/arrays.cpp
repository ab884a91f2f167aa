#include "arrays.h"

#include <limits>

#include "runtime/memory_pool.h"

namespace pocketcnn::bindings {
namespace {

/// Memory for elements of `item` bytes each.
Buffer<char> room_for(const Shape& shape, index_t item) {
    constexpr index_t most = std::numeric_limits<index_t>::max();
    index_t size = 1;
    for (const py::ssize_t extent : shape) {
        if (extent < 0 || (extent > 0 && size > most / extent)) {
            throw py::value_error("no array has the shape " + text_of(shape));
        }
        size *= extent;
    }
    try {
        if (size > most / item) throw std::bad_alloc();
        return Buffer<char>(size * item);
    } catch (const std::bad_alloc&) {
        const std::string text =
            "a result of shape " + text_of(shape) + " needs " +
            std::to_string(static_cast<std::size_t>(size) * static_cast<std::size_t>(item)) +
            " bytes";
        PyErr_SetString(PyExc_MemoryError, text.c_str());
        throw py::error_already_set();
    }
}

}  // namespace

template <typename T>
bool Array<T>::check_(py::handle object) {
    constexpr int aligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    return Base::check_(object) && (py::detail::array_proxy(object.ptr())->flags & aligned);
}

template class Array<double>;
template class Array<std::int32_t>;
template class Array<index_t>;

bool Floats::check_(py::handle object) {
    return Array<float>::check_(object) || Array<double>::check_(object);
}

// Called without the interpreter's lock too, and therefore without a new reference to the type.
int Floats::type_number() const {
    const PyObject* type = py::detail::array_proxy(ptr())->descr;
    return py::detail::array_descriptor_proxy(type)->type_num;
}

void Floats::require_type(int number) const {
    if (type_number() != number) throw py::type_error("a call mixes arrays of float32 and float64");
}

std::string text_of(const Shape& shape) {
    std::string text = "(";
    for (const py::ssize_t extent : shape)
        text += (text == "(" ? "" : ", ") + std::to_string(extent);
    return text + (shape.size() == 1 ? ",)" : ")");
}

std::string text_of(const Shape4& shape) {
    return text_of(shape_of(shape));
}

Shape shape_of(const py::array& array) {
    return Shape(array.shape(), array.shape() + array.ndim());
}

Shape shape_of(const Shape4& shape) {
    return {shape.n, shape.c, shape.h, shape.w};
}

py::array new_array(const py::dtype& type, const Shape& shape) {
    Buffer<char> memory = room_for(shape, type.itemsize());
    const py::capsule owner(memory.data(), pool_release);
    return py::array(type, shape, memory.release(), owner);
}

Floats new_floats(const Floats& x, const Shape& shape) {
    return py::reinterpret_steal<Floats>(new_array(x.dtype(), shape).release());
}

Floats new_image(const Floats& x, const Shape4& shape) {
    return new_floats(x, shape_of(shape));
}

Floats new_like(const Floats& x) {
    return new_floats(x, shape_of(x));
}

py::tuple tuple_of(std::initializer_list<index_t> numbers) {
    py::tuple tuple(numbers.size());
    std::size_t i = 0;
    for (const index_t number : numbers) tuple[i++] = py::int_(number);
    return tuple;
}

py::tuple results(std::initializer_list<py::handle> objects) {
    py::tuple tuple(objects.size());
    std::size_t i = 0;
    for (const py::handle object : objects) tuple[i++] = object ? object : py::none();
    return tuple;
}

Shape4 shape4(const py::array& array) {
    if (array.ndim() != 4) throw py::value_error("an image batch must have 4 axes");
    return {array.shape(0), array.shape(1), array.shape(2), array.shape(3)};
}

void require_matrix(const py::array& array) {
    if (array.ndim() != 2) throw py::value_error("a matrix must have 2 axes");
}

void require_shape(const py::array& array, const Shape& shape, const char* name) {
    if (shape_of(array) == shape) return;
    throw py::value_error(std::string(name) + " has shape " + text_of(shape_of(array)) +
                          ", but must have " + text_of(shape));
}

void require_shape(const py::array& array, const Shape4& shape, const char* name) {
    require_shape(array, shape_of(shape), name);
}

}  // namespace pocketcnn::bindings
