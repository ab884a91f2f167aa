# WebAssembly with vectors of 16 bytes, in one thread: Debian's emscripten, or another; programs run
# under node.
find_program(emcc emcc REQUIRED)
file(REAL_PATH ${emcc} emcc)
cmake_path(GET emcc PARENT_PATH emscripten)
include(${emscripten}/cmake/Modules/Platform/Emscripten.cmake)
set(CMAKE_CXX_FLAGS_INIT "-msimd128 -fwasm-exceptions")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-sALLOW_MEMORY_GROWTH -sMAXIMUM_MEMORY=4GB -sEXIT_RUNTIME")
# With a `fetch` of node, emscripten 3.1.6 takes it for a browser.
set(CMAKE_CROSSCOMPILING_EMULATOR node --no-experimental-fetch)
include(${CMAKE_CURRENT_LIST_DIR}/cross.cmake)
