// A network in steps, with its weights.
#pragma once

#include "session/channels_last.h"

namespace pocketcnn::session {

template <typename T>
class Network {
  public:
    /// Throws std::invalid_argument where the architecture and the tensors make no network.
    Network(const Value& architecture, Tensors<T> tensors, Norms norms);

    const Shape& input_shape() const { return input_shape_; }
    const Shape& output_shape() const { return output_shape_; }

    /// Computes the scores of n images, `at_once` of them at a time; 0 is as many as Python's
    /// `net.predict` takes.
    void predict(const T* images, index_t n, T* scores, index_t at_once = 0) const;

  private:
    struct Way {
        explicit Way(Plan<T> plan);

        Plan<T> plan;
        /// By step, the values that no later one takes.
        std::vector<std::vector<std::size_t>> spent;
        index_t size = 0;  ///< elements of all results, of one image
    };

    void find_ways(const Plan<T>& plan, const std::vector<Shape>& shapes);
    void infer(const T* images, index_t n, T* scores) const;
    void infer(const Way& way, const T* images, index_t n, T* scores) const;

    Tensors<T> tensors_;           // to which the steps refer
    std::map<index_t, Way> ways_;  // from so many images on
    Shape input_shape_, output_shape_;
    index_t batch_;
};

}  // namespace pocketcnn::session
