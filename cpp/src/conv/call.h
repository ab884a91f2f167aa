// What a way of convolving is given: one form per pass, the same for every way.
#pragma once

#include "conv/problem.h"

namespace pocketcnn::conv {

template <typename T>
struct PooledGrad;

/// y = conv2d(x) + bias, and zero where that is negative if `rectify`: a last step that the table
/// does afterwards for a way which does not finish.
template <typename T>
struct ForwardCall {
    const Problem& problem;
    const T* x;
    const T* weight;
    const T* bias;  ///< may be null
    T* y;
    OutputGrid grid;
    bool rectify = false;
};

/// dx from dy, and zero where the gate, an array of x's shape, is zero or below: the last step.
template <typename T>
struct InputGradCall {
    const Problem& problem;
    const T* dy;
    const T* weight;
    T* dx;
    const T* gate = nullptr;
    ConvAlgorithm asked = ConvAlgorithm::automatic;
};

/// dweight from dy and x, and dbias where it is not null: the last step.
template <typename T>
struct WeightGradCall {
    const Problem& problem;
    const T* dy;  ///< null where `pooled` stands for it
    const T* x;
    T* dweight;
    T* dbias = nullptr;
    const PooledGrad<T>* pooled = nullptr;
};

}  // namespace pocketcnn::conv
