#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "model/file.h"

namespace pocketcnn::model {

// Without O_NONBLOCK a pipe that nobody writes to would keep its reader for ever.
File::File(const std::filesystem::path& path)
    : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    struct stat about{};
    if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), path.string());
    if (fstat(descriptor_, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(descriptor_);
        throw std::runtime_error(path.string() +
                                 " is a folder, a pipe or a device, but must be a regular file");
    }
    size_ = about.st_size;
}

File::~File() {
    close(descriptor_);
}

bool File::read(void* to, std::size_t bytes) {
    auto* place = static_cast<char*>(to);
    while (bytes > 0) {
        const ssize_t came = ::read(descriptor_, place, bytes);
        if (came < 0 && errno == EINTR) continue;
        if (came < 0) throw std::system_error(errno, std::generic_category(), path_.string());
        if (came == 0) return false;
        place += came;
        bytes -= static_cast<std::size_t>(came);
    }
    return true;
}

}  // namespace pocketcnn::model
