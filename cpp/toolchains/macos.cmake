# macOS: clang and libc++ of the PyPI package ziglang. Nothing here runs its programs.
set(CMAKE_SYSTEM_NAME Darwin)
include(${CMAKE_CURRENT_LIST_DIR}/zig.cmake)
# CMake insists on one, which the installation of shared libraries would call.
set(CMAKE_INSTALL_NAME_TOOL /bin/true)
# In zig 0.17.1 <math.h> reads one part of float.h, which after that gives no other.
set(CMAKE_CXX_FLAGS_INIT "-include float.h -include __float_infinity_nan.h")
