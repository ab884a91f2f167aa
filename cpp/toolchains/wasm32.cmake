# WebAssembly with vectors of 128 bits, in one thread: Debian's emscripten, or another; programs run
# under node.
find_program(emcc emcc REQUIRED)
file(REAL_PATH ${emcc} emcc_itself)
cmake_path(GET emcc_itself PARENT_PATH emscripten)
include(${emscripten}/cmake/Modules/Platform/Emscripten.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
