// The convolution algorithms ("ways"): one ordered table per pass. The first row that fits and pays
// is both what conv2d_plan reports and what runs. Nothing else chooses an algorithm. docs/ways.md
// shows the tables.
#pragma once

#include <cstdint>

#include "conv/call.h"

namespace pocketcnn::conv {

/// A max pooling that follows the convolution; its gradient comes through it.
struct Pooling {
    Shape4 shape;  ///< of the pooling's output
    Window2d window;
};

/// The problem that the table is searched for.
struct Question {
    const Problem& problem;
    ConvAlgorithm asked = ConvAlgorithm::automatic;
    bool spread = false;  ///< whether results lie apart, like those of one phase
    const Pooling* pooling = nullptr;
    bool kept = false;  ///< whether the choice may count on weights that are ready
};

/// A row of a table.
template <template <typename> class Call>
struct Way {
    ConvWay about;
    const char* (*obstacle)(const Question&);  ///< why it does not fit ("takes ..."), or null
    bool (*pays)(const Question&);             ///< asked only where it fits
    void (*run_float)(const Call<float>&);
    void (*run_double)(const Call<double>&);
    bool finishes = false;            ///< whether it does the call's last step itself
    bool finishes_relu = false;       ///< whether it does that if it is a ReLU
    bool normalises = false;          ///< whether it normalises what it reads by the call's units
    bool transforms_weights = false;  ///< whether each call begins with much work on the weights

    void run(const Call<float>& call) const { run_float(call); }
    void run(const Call<double>& call) const { run_double(call); }
};

using ForwardWay = Way<ForwardCall>;
using InputGradWay = Way<InputGradCall>;
using WeightGradWay = Way<WeightGradCall>;

/// The algorithm that `question.asked` names, or with "auto" the first that fits and pays. If the
/// name stands for several, it is the first of them that fits and pays, or if none pays, the first
/// that fits. A name that no row of the pass has counts as "auto". Throws std::invalid_argument if
/// no row of that name fits.
const ForwardWay& forward_way(const Question& question);
const InputGradWay& input_grad_way(const Question& question);
const WeightGradWay& weight_grad_way(const Question& question);

/// Runs an algorithm, normalises before and does the last step if the algorithm does not, and
/// counts the run.
template <typename T>
void compute(const ForwardWay& way, const ForwardCall<T>& call);
template <typename T>
void compute(const InputGradWay& way, const InputGradCall<T>& call);
template <typename T>
void compute(const WeightGradWay& way, const WeightGradCall<T>& call);

/// How often `compute` has run this algorithm of a pass.
std::uint64_t runs(ConvPass pass, ConvAlgorithm algorithm);

}  // namespace pocketcnn::conv
