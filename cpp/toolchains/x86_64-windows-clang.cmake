# 64-bit Windows: clang and libc++ of the PyPI package ziglang with the headers of MinGW-w64; programs
# run under Wine.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR AMD64)
set(zig_target x86_64-windows-gnu)
find_program(CMAKE_RC_COMPILER zig-rc REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR wine64)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
