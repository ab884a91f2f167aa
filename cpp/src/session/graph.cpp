#include "session/graph.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace pocketcnn::session {
namespace {

Shape input_shape_of(const Value& architecture) {
    const List* sizes = member(architecture, "input_shape").as<List>();
    if (sizes == nullptr) throw std::invalid_argument("'input_shape' is no list of sizes");
    Shape shape;
    for (const Value& size : *sizes) shape.push_back(whole("a size of input_shape", size, 1));
    return shape;
}

/// The entries of a list of layers.
const List& layers_of(const Value* value) {
    const List* list = value == nullptr ? nullptr : value->as<List>();
    if (list == nullptr || list->empty()) {
        throw std::invalid_argument("a network, and a branch of one, needs at least one layer");
    }
    return *list;
}

/// The name of an entry, which none of `others` may have.
const std::string& new_name(const Value& entry, std::set<std::string>& others) {
    const std::string& name = text_member(entry, "name");
    if (name.empty() || name.find('.') != name.npos) {
        throw std::invalid_argument("a layer's name is " + in_quotes(name) +
                                    ", but must be text without a dot");
    }
    if (!others.insert(name).second) {
        throw std::invalid_argument("two layers are named " + in_quotes(name));
    }
    return name;
}

template <typename T>
class Builder {
  public:
    Builder(const Value& architecture, Tensors<T>& tensors) : tensors_(tensors) {
        graph_.shapes.push_back(input_shape_of(architecture));
        graph_.largest = size_of(graph_.shapes[0]);
        std::map<std::string, std::size_t> values = {{"input", 0}};
        std::set<std::string> names;
        std::map<std::size_t, std::string> unread;
        std::size_t value = 0;
        for (const Value& entry : layers_of(&member(architecture, "layers"))) {
            const std::string& name = new_name(entry, names);
            const std::vector<std::size_t> sources = sources_of(entry, name, value, values);
            for (const std::size_t source : sources) unread.erase(source);
            value = values[name] = add_layer(entry, name, sources);
            unread[value] = name;
            graph_.largest = std::max(graph_.largest, size_of(graph_.shapes[value]));
        }
        unread.erase(value);
        if (!unread.empty()) {
            throw std::invalid_argument("no layer takes what layer " +
                                        in_quotes(unread.begin()->second) + " gives");
        }
    }

    Graph<T> finished() && { return std::move(graph_); }

  private:
    /// The values that an entry names, or that of the entry before it.
    static std::vector<std::size_t> sources_of(const Value& entry, const std::string& name,
                                               std::size_t before,
                                               const std::map<std::string, std::size_t>& values) {
        const Members& members = *entry.as<Members>();  // it has a name
        const auto inputs = members.find("inputs");
        if (inputs == members.end()) return {before};
        const List alone = {inputs->second};
        const List* several = inputs->second.as<List>();
        std::vector<std::size_t> sources;
        for (const Value& input : several == nullptr ? alone : *several) {
            const auto* of = input.as<std::string>();
            const auto found = of == nullptr ? values.end() : values.find(*of);
            if (found == values.end()) {
                throw std::invalid_argument("layer " + in_quotes(name) + " takes " +
                                            excerpt_of(input) +
                                            ", but no entry before it has that name");
            }
            sources.push_back(found->second);
        }
        return sources;
    }

    /// Returns the value that the layer gives. `path` is its name in the whole network.
    std::size_t add_layer(const Value& entry, const std::string& path,
                          const std::vector<std::size_t>& sources) {
        const std::string& kind = text_member(entry, "kind");
        const std::string which = "layer " + in_quotes(path) + " (" + excerpt(kind) + "): ";
        const Kind<T>* found = find_kind<T>(kind);
        if (found == nullptr && kind != "Residual") {
            throw std::invalid_argument("layer " + in_quotes(path) + " is of the class " +
                                        in_quotes(kind) +
                                        ", which C++ does not have: it computes the layers of "
                                        "pocketcnn itself");
        }
        const bool merges = found != nullptr && found->merges;
        if (merges ? sources.size() < 2 : sources.size() != 1) {
            throw std::invalid_argument(which + "it takes " +
                                        (merges ? "2 inputs or more" : "1 input") + ", not " +
                                        std::to_string(sources.size()));
        }
        Settings settings(member(entry, "config"));
        if (found == nullptr) return add_residual(settings, path, sources[0]);
        std::vector<Shape> inputs;
        inputs.reserve(sources.size());
        for (const std::size_t source : sources) inputs.push_back(graph_.shapes[source]);
        try {
            Layer<T> layer = found->make({settings, inputs, tensors_, path});
            settings.require_no_others();
            return add_node(std::move(layer), sources);
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument(which + error.what());
        }
    }

    std::size_t add_residual(Settings& settings, const std::string& path, std::size_t source) {
        const Value* body = settings.value("body");
        const Value* shortcut = settings.value("shortcut");
        settings.require_no_others();
        const std::size_t through = add_branch(body, path + ".body", source);
        const List* around_it = shortcut == nullptr ? nullptr : shortcut->as<List>();
        const bool straight = shortcut == nullptr || (around_it != nullptr && around_it->empty());
        const std::size_t around =
            straight ? source : add_branch(shortcut, path + ".shortcut", source);
        const Shape& shape = graph_.shapes[through];
        if (shape != graph_.shapes[around]) {
            throw std::invalid_argument("layer " + in_quotes(path) +
                                        " (Residual): its body gives " + text_of(shape) +
                                        ", but its shortcut " + text_of(graph_.shapes[around]));
        }
        return add_node(sum_of_two<T>(shape, false), {through, around});
    }

    std::size_t add_branch(const Value* list, const std::string& path, std::size_t value) {
        std::set<std::string> names;
        for (const Value& entry : layers_of(list)) {
            value = add_layer(entry, path + "." + new_name(entry, names), {value});
        }
        return value;
    }

    std::size_t add_node(Layer<T> layer, const std::vector<std::size_t>& sources) {
        size_of(layer.output);
        graph_.shapes.push_back(layer.output);
        graph_.nodes.push_back({std::move(layer), sources});
        return graph_.nodes.size();
    }

    Tensors<T>& tensors_;
    Graph<T> graph_;
};

}  // namespace

template <typename T>
Graph<T> build_graph(const Value& architecture, Tensors<T>& tensors) {
    Graph<T> graph = Builder<T>(architecture, tensors).finished();
    tensors.require_all_used();
    return graph;
}

template Graph<float> build_graph(const Value&, Tensors<float>&);
template Graph<double> build_graph(const Value&, Tensors<double>&);

}  // namespace pocketcnn::session
