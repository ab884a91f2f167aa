# macOS: clang and libc++ of the PyPI package ziglang. Nothing here runs its programs.
set(CMAKE_SYSTEM_NAME Darwin)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
# CMake asks for it, for libraries that are installed; ours are static.
set(CMAKE_INSTALL_NAME_TOOL false)
# In zig 0.17.1 float.h defines nothing if <cmath> came first.
set(CMAKE_CXX_FLAGS_INIT "-include float.h")
