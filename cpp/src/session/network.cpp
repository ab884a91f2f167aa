#include "session/network.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace pocketcnn::session {
namespace {

/// The largest value of a batch takes no more: `_INFERENCE_BYTES` of
/// python/pocketcnn/network/structure.py. Batches of another size may be summed in another order.
constexpr index_t kBatchBytes = index_t{32} << 20;

/// From so many images on, more change no choice.
constexpr index_t kManyImages = 64;

/// If they take no more, all results have places of their own. In memory that is used again, a
/// thread would write what another has in its cache (docs/measurements.md#small-networks).
constexpr std::size_t kSmallBytes = std::size_t{1} << 20;

/// What a step gave, or the images.
template <typename T>
struct Given {
    const T* data = nullptr;
    std::shared_ptr<const Buffer<T>> memory;  // none for the images
};

/// Where the results of n images go: one after the other if all of them are small.
template <typename T>
class Places {
  public:
    /// `size` is that of all results of an image.
    Places(index_t n, index_t size, std::size_t results)
        : n_(n), small_(static_cast<double>(n) * static_cast<double>(size) <= kSmall) {
        if (!small_) return;
        all_ = Buffer<T>(n * size + static_cast<index_t>(results) * kLine);
        free_ = all_.data();
    }

    T* place(index_t size, Given<T>& result) {
        if (small_) {
            T* const here = free_;
            free_ += round_up(n_ * size, kLine);
            result.data = here;
            return here;
        }
        const bool fits = n_ <= std::numeric_limits<index_t>::max() / size;
        result.memory = std::make_shared<const Buffer<T>>(fits ? n_ * size : -1);
        result.data = result.memory->data();
        return result.memory->data();
    }

  private:
    static constexpr index_t kLine = kAlignment / sizeof(T);
    static constexpr double kSmall = kSmallBytes / sizeof(T);

    index_t n_;
    bool small_;
    Buffer<T> all_;
    T* free_ = nullptr;
};

}  // namespace

template <typename T>
Network<T>::Way::Way(Plan<T> steps) : plan(std::move(steps)), spent(plan.steps.size()) {
    std::vector<bool> is_taken(plan.values);
    for (std::size_t i = plan.steps.size(); i-- > 0;) {
        for (const std::size_t source : plan.steps[i].sources) {
            if (!is_taken[source]) spent[i].push_back(source);
            is_taken[source] = true;
        }
        size += plan.steps[i].size;
    }
}

template <typename T>
Network<T>::Network(const Value& architecture, Tensors<T> tensors, Norms norms)
    : tensors_(std::move(tensors)) {
    const Graph<T> graph = build_graph(architecture, tensors_);
    const Plan<T> plan = fuse(graph, norms);
    ways_.emplace(1, Way(plan));
    if (norms == Norms::folded) find_ways(plan, graph.shapes);
    input_shape_ = graph.shapes.front();
    output_shape_ = graph.shapes.back();
    batch_ = std::max<index_t>(1, kBatchBytes / (graph.largest * index_t{sizeof(T)}));
}

template <typename T>
void Network<T>::find_ways(const Plan<T>& plan, const std::vector<Shape>& shapes) {
    ChannelsLast<T> last(plan, shapes);
    std::vector<Role> before;
    for (index_t n = 1; n <= kManyImages; n *= 2) {
        const std::vector<Role> roles = last.roles(n);
        if (roles == before) continue;
        ways_.insert_or_assign(n, Way(last.with(roles)));
        before = roles;
    }
}

template <typename T>
void Network<T>::predict(const T* images, index_t n, T* scores, index_t at_once) const {
    if (n < 0)
        throw std::invalid_argument("n is " + std::to_string(n) + ", but must be at least 0");
    if (n > 0 && (images == nullptr || scores == nullptr)) {
        throw std::invalid_argument("images or scores is null, but n is " + std::to_string(n));
    }
    const index_t from = size_of(input_shape_), to = size_of(output_shape_);
    const index_t step = at_once > 0 ? at_once : batch_;
    for (index_t i = 0; i < n; i += step) {
        infer(images + i * from, std::min(step, n - i), scores + i * to);
    }
}

template <typename T>
void Network<T>::infer(const T* images, index_t n, T* scores) const {
    infer(std::prev(ways_.upper_bound(n))->second, images, n, scores);
}

template <typename T>
void Network<T>::infer(const Way& way, const T* images, index_t n, T* scores) const {
    const Plan<T>& plan = way.plan;
    std::vector<Given<T>> values(plan.values);
    values[0].data = images;
    Places<T> places(n, way.size, plan.steps.size());
    std::vector<const T*> x;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const Step<T>& step = plan.steps[i];
        x.clear();
        for (const std::size_t source : step.sources) x.push_back(values[source].data);
        const bool is_last = step.result == plan.output;
        Given<T>& result = values[step.result];
        if (!step.run) {
            result = values[step.sources[0]];
            if (is_last) std::copy_n(result.data, n * step.size, scores);
        } else if (is_last) {
            step.run({n, x, scores});
        } else {
            step.run({n, x, places.place(step.size, result)});
        }
        for (const std::size_t source : way.spent[i]) values[source] = {};
    }
}

template class Network<float>;
template class Network<double>;

}  // namespace pocketcnn::session
