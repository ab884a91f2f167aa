# Says in one message what the build needs of a compiler. CMake's own, and the errors of a compiler that
# is too old, end hundreds of lines further down in what pip prints.
set(needed_compiler "pocketcnn needs a C++20 compiler: g++ 12, clang 14, Xcode 14, or newer. \
On Debian and Ubuntu: apt-get install g++. On Fedora: dnf install gcc-c++. On Alpine: apk add g++. \
On macOS: xcode-select --install. On Windows: LLVM's clang, with CXX=clang++ and \
CMAKE_GENERATOR=Ninja. CXX names one that is not found")

include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  message(FATAL_ERROR "${needed_compiler} (none was found).")
endif()
enable_language(CXX)

set(oldest_GNU 12)
set(oldest_Clang 14)
set(oldest_AppleClang 14)
set(found_compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}: ${CMAKE_CXX_COMPILER}")
if(NOT DEFINED oldest_${CMAKE_CXX_COMPILER_ID})
  if(MSVC)
    message(FATAL_ERROR "${needed_compiler} (found ${found_compiler}, which has no vector extensions).")
  endif()
elseif(CMAKE_CXX_COMPILER_VERSION VERSION_LESS oldest_${CMAKE_CXX_COMPILER_ID})
  message(FATAL_ERROR "${needed_compiler} (found ${found_compiler}).")
endif()
