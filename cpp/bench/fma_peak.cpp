// The most floating-point operations per second that the machine can do: multiply-adds on
// registers, with enough independent ones to hide their latency, and nothing else. `benchmarks`
// compiles this file for an instruction set and runs it; it is not part of the library.
//
// Usage: fma_peak THREADS SECONDS. Prints GFLOP/s of float and of double, all threads together.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

namespace {

// A latency of 4 cycles times 2 units needs 8 chains; 12 leave room for 6 cycles of a separate
// multiplication and addition, and with two operands fit 16 registers.
constexpr int kChains = 12;
// About 0.1 ms, short enough that some repetitions are undisturbed on a busy machine.
constexpr int kRounds = 20000;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The best GFLOP/s of one thread within `seconds`.
template <typename T>
double best_rate(double seconds) {
    typedef T Vector __attribute__((vector_size(kVectorBytes)));
    constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
    // x = x * factor + term tends to 1: neither infinite nor denormal. The loads from volatile
    // keep the compiler from computing any of it.
    volatile T factor_value = T(0.5), term_value = T(0.5), sink = T(0);
    const Vector factor = Vector{} + factor_value, term = Vector{} + term_value;
    Vector chain[kChains];
    for (int i = 0; i < kChains; ++i) chain[i] = Vector{} + T(i);

    double best = 0;
    const auto begin = Clock::now();
    do {
        const auto start = Clock::now();
        for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
            for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + term;
        }
        for (int i = 0; i < kChains; ++i) sink = sink + chain[i][0];
        best = std::max(best, 2e-9 * kLanes * kChains * kRounds / seconds_since(start));
    } while (seconds_since(begin) < seconds);
    return best;
}

/// The sum of what all threads reach, running at the same time.
template <typename T>
double total_rate(int threads, double seconds) {
    std::vector<double> rates(static_cast<std::size_t>(threads));
    std::vector<std::thread> team;
    for (double& rate : rates) team.emplace_back([&] { rate = best_rate<T>(seconds); });
    for (std::thread& member : team) member.join();
    double total = 0;
    for (const double rate : rates) total += rate;
    return total;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: fma_peak THREADS SECONDS\n");
        return 2;
    }
    const int threads = std::atoi(argv[1]);
    const double seconds = std::atof(argv[2]);
    std::printf("%.2f %.2f\n", total_rate<float>(threads, seconds),
                total_rate<double>(threads, seconds));
}
