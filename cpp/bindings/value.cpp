#include "value.h"

namespace pocketcnn::bindings {
namespace {

namespace py = pybind11;

py::tuple names_of(py::handle type) {
    return type.attr("__match_args__");
}

py::tuple fields_of(const py::object& self) {
    const py::tuple names = names_of(py::type::of(self));
    py::tuple fields(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) fields[i] = self.attr(py::object(names[i]));
    return fields;
}

py::object equals(const py::object& self, const py::object& other) {
    if (!py::type::of(self).is(py::type::of(other))) {
        return py::reinterpret_borrow<py::object>(Py_NotImplemented);
    }
    return py::bool_(fields_of(self).equal(fields_of(other)));
}

/// Tells whether the text of an object is asked for while it is being put together.
class AsksForText {
  public:
    explicit AsksForText(const py::object& self) : self_(self), within_(Py_ReprEnter(self.ptr())) {
        if (within_ < 0) throw py::error_already_set();
    }
    AsksForText(const AsksForText&) = delete;
    AsksForText& operator=(const AsksForText&) = delete;
    ~AsksForText() {
        if (within_ == 0) Py_ReprLeave(self_.ptr());
    }
    bool again() const { return within_ > 0; }

  private:
    const py::object& self_;
    int within_;
};

/// A property of an object that was never initialised raises an error whose message has the text of
/// the object.
py::str text_of_fields(const py::object& self) {
    const py::type type = py::type::of(self);
    const AsksForText asks(self);
    if (asks.again()) return py::str("{}(...)").format(type.attr("__name__"));
    const py::tuple names = names_of(type), fields = fields_of(self);
    py::list parts;
    for (std::size_t i = 0; i < names.size(); ++i) {
        parts.append(py::str("{}={!r}").format(names[i], fields[i]));
    }
    return py::str("{}({})").format(type.attr("__name__"), py::str(", ").attr("join")(parts));
}

template <typename Method>
void define(py::handle type, const char* name, Method method) {
    type.attr(name) = py::cpp_function(method, py::name(name), py::is_method(type));
}

}  // namespace

void make_value(py::handle type, std::initializer_list<const char*> fields) {
    py::list names;
    for (const char* field : fields) names.append(field);
    type.attr("__match_args__") = py::tuple(names);
    define(type, "__eq__", equals);
    define(type, "__hash__", [](const py::object& self) { return py::hash(fields_of(self)); });
    define(type, "__repr__", text_of_fields);
    define(type, "__reduce__", [](const py::object& self) {
        return py::make_tuple(py::type::of(self), fields_of(self));
    });
}

}  // namespace pocketcnn::bindings
