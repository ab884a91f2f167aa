// AVX2 with FMA: 16 registers of 32 bytes.
#define POCKETCNN_ISA avx2
#define POCKETCNN_VECTOR_BYTES 32
#define POCKETCNN_VECTOR_REGISTERS 16
#include "kernels/kernels.inl"
