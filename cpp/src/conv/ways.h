// The ways of convolving: per pass one ordered table, whose first row that fits and pays is both
// what conv2d_plan reports and what runs. Nothing else chooses between ways. docs/ways.md shows the
// tables.
#pragma once

#include <cstdint>

#include "conv/call.h"

namespace pocketcnn::conv {

/// A max pooling of a convolution's results, through which their gradient comes.
struct Pooling {
    Shape4 shape;  ///< of what it gives
    Window2d window;
};

/// What the table is asked.
struct Question {
    const Problem& problem;
    ConvAlgorithm asked = ConvAlgorithm::automatic;
    bool spread = false;  ///< whether the results lie apart, as those of a phase of an image do
    const Pooling* pooling = nullptr;
};

/// A row of a table. A further step that may be taken once per weights, ahead of all calls, would
/// be a further member.
template <template <typename> class Call>
struct Way {
    ConvWay about;
    const char* (*obstacle)(const Question&);  ///< why it does not fit, or null: "takes ..."
    bool (*pays)(const Question&);             ///< where it fits
    void (*run_float)(const Call<float>&);
    void (*run_double)(const Call<double>&);
    bool finishes = false;            ///< whether it takes the call's last step itself
    bool transforms_weights = false;  ///< whether each call begins with much work on the weights

    void run(const Call<float>& call) const { run_float(call); }
    void run(const Call<double>& call) const { run_double(call); }
};

using ForwardWay = Way<ForwardCall>;
using InputGradWay = Way<InputGradCall>;
using WeightGradWay = Way<WeightGradCall>;

/// The way that is asked for, or else the first that fits and pays. Of several that the asked name
/// stands for it is the first that pays, or if none does, the first that fits. A name that the
/// pass has no way of is as good as none. Throws std::invalid_argument where what is asked for does
/// not fit.
const ForwardWay& forward_way(const Question& question);
const InputGradWay& input_grad_way(const Question& question);
const WeightGradWay& weight_grad_way(const Question& question);

/// Runs a way, takes the last step where it does not, and counts the run.
template <typename T>
void compute(const ForwardWay& way, const ForwardCall<T>& call);
template <typename T>
void compute(const InputGradWay& way, const InputGradCall<T>& call);
template <typename T>
void compute(const WeightGradWay& way, const WeightGradCall<T>& call);

/// How often `compute` has run this way of a pass.
std::uint64_t runs(ConvPass pass, ConvAlgorithm algorithm);

}  // namespace pocketcnn::conv
