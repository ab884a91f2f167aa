# 64-bit Windows: Debian's g++-mingw-w64-x86-64-posix; programs run under Wine.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CROSSCOMPILING_EMULATOR wine64)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
# GCC aligns the stack of Windows to 16 bytes and yet stores wider vectors there as if it were aligned
# to their size. The assembler makes loads and stores of them that need no alignment.
set(CMAKE_CXX_FLAGS_INIT -Wa,-muse-unaligned-vector-move)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
