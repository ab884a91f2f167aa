// The arguments of a convolution algorithm: one struct per pass, the same for every algorithm.
#pragma once

#include "conv/last_step.h"
#include "conv/problem.h"

namespace pocketcnn::conv {

template <typename T>
struct PooledGrad;

/// y = conv2d(x) + bias, and then the last step, which `compute` (ways.h) does for algorithms that
/// do not. There is none where results lie apart.
template <typename T>
struct ForwardCall {
    const Problem& problem;
    const T* x;
    const T* weight;
    const T* bias;  ///< may be null
    T* y;
    OutputGrid grid;
    LastStep<T> last = {};
    const KeptWeights<T>* kept = nullptr;  ///< of the weights, where they are known to stay
    /// By which the channels of x are normalised as they are read; null where they are not, and for
    /// algorithms that cannot.
    const ChannelNorm<T>* units = nullptr;
};

/// dx from dy. Last step: zero where the gate, an array of x's shape, is zero or negative.
template <typename T>
struct InputGradCall {
    const Problem& problem;
    const T* dy;
    const T* weight;
    T* dx;
    const T* gate = nullptr;
    ConvAlgorithm asked = ConvAlgorithm::automatic;
};

/// dweight from dy and x. Last step: dbias, if it is not null.
template <typename T>
struct WeightGradCall {
    const Problem& problem;
    const T* dy;  ///< null if `pooled` takes its place
    const T* x;
    T* dweight;
    T* dbias = nullptr;
    const PooledGrad<T>* pooled = nullptr;
};

}  // namespace pocketcnn::conv
