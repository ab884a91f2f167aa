# A compiler and tools that the PyPI package ziglang brings, for `zig_target`. CMake wants one program
# for each tool: the session of nox that uses them writes these scripts.
set(CMAKE_CXX_COMPILER zig-c++ -target ${zig_target})
set(CMAKE_C_COMPILER zig-cc -target ${zig_target})
find_program(CMAKE_AR zig-ar REQUIRED)
find_program(CMAKE_RANLIB zig-ranlib REQUIRED)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
