// Model files with bytes that libFuzzer draws. `nox -s fuzz` builds it with clang and begins with
// corpus/. Reading alone: what is computed then are operations, which have tests of their own.
#include <pocketcnn/model.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int file = memfd_create("model", 0);
    if (file < 0 || ftruncate(file, 0) != 0 ||
        pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) {
        std::abort();
    }
    try {
        const auto model = pocketcnn::Model::load("/proc/self/fd/" + std::to_string(file));
        if (model.input_shape().size() > size) std::abort();
    } catch (const std::runtime_error&) {
        return 0;  // which says why the file is refused
    } catch (const std::bad_alloc&) {
        return 0;
    }
    return 0;
}
