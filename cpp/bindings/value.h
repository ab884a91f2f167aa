// Classes of values: immutable, equal by what they hold, hashable, copied and pickled.
#pragma once

#include <pybind11/pybind11.h>

#include <initializer_list>

namespace pocketcnn::bindings {

/// Gives a class ==, hash, repr, copy and pickle. `fields` are the arguments of its constructor, in
/// their order, and also its properties.
void make_value(pybind11::handle type, std::initializer_list<const char*> fields);

/// A class of values of T; the caller defines the constructor and the properties.
template <typename T>
pybind11::class_<T> value_class(pybind11::module_& module, const char* name,
                                std::initializer_list<const char*> fields) {
    pybind11::class_<T> type(module, name, pybind11::is_final());
    make_value(type, fields);
    return type;
}

}  // namespace pocketcnn::bindings
