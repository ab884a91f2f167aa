// The instruction set that a source of the kernels is compiled for. The build names it in
// POCKETCNN_ISA; in an editor it is the baseline.
#pragma once

#if !defined(POCKETCNN_ISA)
#define POCKETCNN_ISA baseline
#endif

namespace pocketcnn {

/// AVX-512 F, DQ, BW, VL.
namespace avx512 {
constexpr int kVectorBytes = 64, kVectorRegisters = 32;
}

/// AVX2 with FMA.
namespace avx2 {
constexpr int kVectorBytes = 32, kVectorRegisters = 16;
}

/// What the target architecture always has: SSE2 on x86-64, NEON on 64-bit Arm.
namespace baseline {
#if defined(__aarch64__)
constexpr int kVectorBytes = 16, kVectorRegisters = 32;
#else
constexpr int kVectorBytes = 16, kVectorRegisters = 16;
#endif
}  // namespace baseline

}  // namespace pocketcnn
