// The native classes of geometry as arguments. An object whose constructor has not run, as
// Window2d.__new__(Window2d) returns it, is refused. Every file that takes one includes this.
#pragma once

#include <pocketcnn/conv_block.h>
#include <pocketcnn/upsample2d.h>
#include <pybind11/pybind11.h>

namespace pocketcnn::bindings {

template <typename T>
struct MadeCaster : pybind11::detail::type_caster_base<T> {
    bool load(pybind11::handle object, bool convert) {
        if (!pybind11::detail::type_caster_base<T>::load(object, convert) || object.is_none()) {
            return false;
        }
        auto* instance = reinterpret_cast<pybind11::detail::instance*>(object.ptr());
        return instance->get_value_and_holder().holder_constructed();
    }
};

}  // namespace pocketcnn::bindings

template <>
struct pybind11::detail::type_caster<pocketcnn::Window2d>
    : pocketcnn::bindings::MadeCaster<pocketcnn::Window2d> {};
template <>
struct pybind11::detail::type_caster<pocketcnn::Conv2d>
    : pocketcnn::bindings::MadeCaster<pocketcnn::Conv2d> {};
template <>
struct pybind11::detail::type_caster<pocketcnn::Pool2d>
    : pocketcnn::bindings::MadeCaster<pocketcnn::Pool2d> {};
template <>
struct pybind11::detail::type_caster<pocketcnn::Upsample2d>
    : pocketcnn::bindings::MadeCaster<pocketcnn::Upsample2d> {};
template <>
struct pybind11::detail::type_caster<pocketcnn::BlockPool>
    : pocketcnn::bindings::MadeCaster<pocketcnn::BlockPool> {};
template <>
struct pybind11::detail::type_caster<pocketcnn::ConvBlock>
    : pocketcnn::bindings::MadeCaster<pocketcnn::ConvBlock> {};
