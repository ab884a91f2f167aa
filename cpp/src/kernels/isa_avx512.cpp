// AVX-512 F, DQ, BW, VL: 32 registers of 64 bytes.
#define POCKETCNN_ISA avx512
#define POCKETCNN_VECTOR_BYTES 64
#define POCKETCNN_VECTOR_REGISTERS 32
#include "kernels/kernels.inl"
