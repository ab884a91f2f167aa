// What an x86 processor can do, by its own account. The compiler's __builtin_cpu_supports needs a
// library that not every toolchain brings: with zig's it says no to everything.
#pragma once

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

namespace pocketcnn {

struct CpuAnswers {
    unsigned leaf1_ecx = 0, leaf7_ebx = 0;
    unsigned saved = 0;  ///< registers that the system saves for a thread: XCR0
};

inline CpuAnswers ask_cpu() {
    CpuAnswers answers;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return answers;
    answers.leaf1_ecx = ecx;
    // Without this bit the instruction is not there.
    if ((ecx & bit_OSXSAVE) != 0) asm("xgetbv" : "=a"(answers.saved), "=d"(edx) : "c"(0));
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) answers.leaf7_ebx = ebx;
    return answers;
}

constexpr bool has_all(unsigned bits, unsigned wanted) {
    return (bits & wanted) == wanted;
}

constexpr bool has_avx2(const CpuAnswers& cpu) {
    constexpr unsigned kXmmAndYmm = 0x6;
    return has_all(cpu.saved, kXmmAndYmm) && has_all(cpu.leaf1_ecx, bit_AVX | bit_FMA) &&
           has_all(cpu.leaf7_ebx, bit_AVX2);
}

constexpr bool has_avx512(const CpuAnswers& cpu) {
#if defined(__APPLE__)
    constexpr unsigned kMasksAndZmm = 0;  // macOS saves them from a thread's first use on
#else
    constexpr unsigned kMasksAndZmm = 0xe0;
#endif
    return has_avx2(cpu) && has_all(cpu.saved, kMasksAndZmm) &&
           has_all(cpu.leaf7_ebx, bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL);
}

}  // namespace pocketcnn

#endif
