// Detection and choice of the instruction set. Compiled without any instruction-set flag: it
// must run on every machine.
#include "runtime/isa.h"

#include <pocketcnn/runtime.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "runtime/cpu.h"

namespace pocketcnn {
namespace {

struct Isa {
    const KernelTable& (*table)();
    bool (*supported)();
};

bool always() {
    return true;
}

#if defined(POCKETCNN_HAS_AVX2)
bool avx2_runs() {
    return has_avx2(ask_cpu());
}
#endif
#if defined(POCKETCNN_HAS_AVX512)
bool avx512_runs() {
    return has_avx512(ask_cpu());
}
#endif

/// Best first.
constexpr Isa kIsas[] = {
#if defined(POCKETCNN_HAS_AVX512)
    {avx512::kernel_table, avx512_runs},
#endif
#if defined(POCKETCNN_HAS_AVX2)
    {avx2::kernel_table, avx2_runs},
#endif
    {baseline::kernel_table, always},
};

std::string names_of_available() {
    std::string names;
    for (const std::string_view name : available_isas()) {
        names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return names;
}

const KernelTable& find(std::string_view name, const char* source) {
    for (const Isa& isa : kIsas) {
        if (isa.table().name == name && isa.supported()) return isa.table();
    }
    throw std::invalid_argument(std::string(source) + " is '" + std::string(name) +
                                "', but this machine and this build have: " + names_of_available());
}

const KernelTable& choose() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): read once, while the library loads
    const char* forced = std::getenv("POCKETCNN_ISA");
    if (forced != nullptr && *forced != '\0') return find(forced, "POCKETCNN_ISA");
    for (const Isa& isa : kIsas) {
        if (isa.supported()) return isa.table();
    }
    return baseline::kernel_table();
}

std::atomic<const KernelTable*>& active() {
    static std::atomic<const KernelTable*> table{&choose()};
    return table;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
    return active().load()->f32;
}

template <>
const Kernels<double>& kernels<double>() {
    return active().load()->f64;
}

std::string_view isa() {
    return active().load()->name;
}

std::vector<std::string_view> available_isas() {
    std::vector<std::string_view> names;
    for (const Isa& isa : kIsas) {
        if (isa.supported()) names.emplace_back(isa.table().name);
    }
    return names;
}

void use_isa(std::string_view name) {
    active() = &find(name, "isa");
}

}  // namespace pocketcnn
