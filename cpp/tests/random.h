// Random numbers that are the same on every machine and in every run.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>

#include "guarded.h"

namespace pocketcnn::tests {

class Random {
  public:
    /// The name, for example of a case, is the seed (its FNV-1a hash).
    explicit Random(std::string_view name) : engine_(hash(name)) {}

    /// In [low, high).
    double uniform(double low, double high) {
        constexpr double whole = 4294967296.0;  // the engine's outputs are 32 bits
        return low + (high - low) * static_cast<double>(engine_()) / whole;
    }
    index_t below(index_t bound) { return static_cast<index_t>(uniform(0, double(bound))); }

    template <typename T>
    void fill(const Guarded<T>& array, double low = -1, double high = 1) {
        for (T& value : array) value = static_cast<T>(uniform(low, high));
    }
    /// Of either sign, but not near zero.
    template <typename T>
    void fill_away_from_zero(const Guarded<T>& array) {
        for (T& value : array) {
            value = static_cast<T>(uniform(0.5, 1) * (below(2) == 0 ? 1 : -1));
        }
    }

  private:
    static std::uint32_t hash(std::string_view name) {
        std::uint32_t value = 2166136261U;
        for (const char c : name) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
        return value;
    }
    std::mt19937 engine_;
};

/// A frozen array of uniform numbers in [-1, 1).
template <typename T>
class RandomArray : public Guarded<T> {
  public:
    RandomArray(Random& random, index_t size, Edge edge = Edge::back) : Guarded<T>(size, edge) {
        random.fill(*this);
        this->freeze();
    }
};

}  // namespace pocketcnn::tests
