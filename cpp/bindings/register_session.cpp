#include <pybind11/stl.h>

#include <map>
#include <string>
#include <variant>

#include "arrays.h"
#include "register.h"
#include "session/network.h"

namespace pocketcnn::bindings {
namespace {

using session::Network, session::Storage, session::Tensors, session::Value;

/// What json.loads gives, as a value.
Value value_of(py::handle object) {
    if (object.is_none()) return {};
    if (py::isinstance<py::bool_>(object)) return {object.cast<bool>()};
    if (py::isinstance<py::int_>(object)) return {object.cast<std::int64_t>()};
    if (py::isinstance<py::float_>(object)) return {object.cast<double>()};
    if (py::isinstance<py::str>(object)) return {object.cast<std::string>()};
    if (py::isinstance<py::list>(object)) {
        session::List list;
        for (const py::handle element : object) list.push_back(value_of(element));
        return {std::move(list)};
    }
    if (!py::isinstance<py::dict>(object)) throw py::type_error("an architecture is JSON");
    session::Members members;
    for (const auto& [name, element] : py::reinterpret_borrow<py::dict>(object)) {
        members[name.cast<std::string>()] = value_of(element);
    }
    return {std::move(members)};
}

template <typename T>
Tensors<T> copies_of(const std::map<std::string, Floats>& arrays, Storage storage) {
    std::map<std::string, session::Array<T>> copies;
    for (const auto& [name, array] : arrays) {
        session::Array<T> copy = {{array.shape(), array.shape() + array.ndim()},
                                  Buffer<T>(array.size())};
        std::copy_n(array.template data<T>(), array.size(), copy.values.data());
        copies.emplace(name, std::move(copy));
    }
    return Tensors<T>(std::move(copies), storage);
}

/// A network of one of the two types. It never changes: any number of threads may run it at once.
class Session {
  public:
    Session(const py::dict& architecture, const std::map<std::string, Floats>& tensors, bool narrow)
        : network_(
              made(value_of(architecture), tensors, narrow ? Storage::bfloat16 : Storage::whole)) {}

    Floats predict(const Floats& x, index_t batch_size) const {
        return std::visit([&](const auto& network) { return scores_of(network, x, batch_size); },
                          network_);
    }

  private:
    using Either = std::variant<Network<float>, Network<double>>;

    static Either made(const Value& architecture, const std::map<std::string, Floats>& tensors,
                       Storage storage) {
        constexpr auto folded = session::Norms::folded;
        const std::string& dtype = session::text_member(architecture, "dtype");
        if (dtype == "float32") {
            return Network<float>(architecture, copies_of<float>(tensors, storage), folded);
        }
        if (dtype == "float64") {
            return Network<double>(architecture, copies_of<double>(tensors, storage), folded);
        }
        throw py::value_error("dtype is " + session::in_quotes(dtype) +
                              ", but must be float32 or float64");
    }

    template <typename T>
    static Floats scores_of(const Network<T>& network, const Floats& x, index_t batch_size) {
        Shape in = {x.ndim() == 0 ? 0 : x.shape(0)}, out = in;
        in.insert(in.end(), network.input_shape().begin(), network.input_shape().end());
        out.insert(out.end(), network.output_shape().begin(), network.output_shape().end());
        require_shape(x, in, "x");
        if (batch_size < 0) {
            throw py::value_error("batch_size is " + std::to_string(batch_size) +
                                  ", but must be at least 0");
        }
        Floats scores = new_floats(x, out);
        const T* images = x.data<T>();
        T* to = scores.mutable_data<T>();
        const WithoutGil released;
        network.predict(images, in[0], to, batch_size);
        return scores;
    }

    Either network_;
};

}  // namespace

void register_session(py::module_& module) {
    py::class_<Session>(module, "Session", py::is_final())
        .def(py::init<const py::dict&, const std::map<std::string, Floats>&, bool>(),
             py::arg("architecture"), py::arg("tensors"), py::arg("narrow"))
        .def("predict", &Session::predict, py::arg("x"), py::arg("batch_size"));
}

}  // namespace pocketcnn::bindings
