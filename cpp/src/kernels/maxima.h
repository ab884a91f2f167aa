// Largest values and where they were found.
#pragma once

#include "kernels/simd.h"

namespace pocketcnn::POCKETCNN_ISA {
namespace {

/// Values and their places, both in lanes.
template <typename T, int Bytes>
struct Maxima {
    typename Pack<T, Bytes>::Vec value;
    typename Pack<T, Bytes>::Int where;

    /// Takes what is as large, or NaN: whoever comes last in order of places must come first here.
    void take(const Maxima& other) {
        const auto wins = (other.value >= value) | (other.value != other.value);
        value = wins ? other.value : value;
        where = wins ? other.where : where;
    }
};

}  // namespace
}  // namespace pocketcnn::POCKETCNN_ISA
