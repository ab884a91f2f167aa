// What the target architecture always has: SSE2 on x86-64 (16 registers of 16 bytes), NEON on
// 64-bit Arm (32 registers of 16 bytes).
#define POCKETCNN_ISA baseline
#define POCKETCNN_VECTOR_BYTES 16
#if defined(__aarch64__)
#define POCKETCNN_VECTOR_REGISTERS 32
#else
#define POCKETCNN_VECTOR_REGISTERS 16
#endif
#include "kernels/kernels.inl"
