#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "model/file.h"

namespace pocketcnn::model {

File::File(const std::filesystem::path& path)
    : path_(path), descriptor_(_wopen(path.c_str(), _O_RDONLY | _O_BINARY | _O_NOINHERIT)) {
    // A folder cannot be opened.
    if (descriptor_ < 0 && !std::filesystem::is_directory(path)) {
        throw std::system_error(errno, std::generic_category(), path.string());
    }
    struct _stat64 about{};
    if (descriptor_ < 0 || _fstat64(descriptor_, &about) != 0 ||
        (about.st_mode & _S_IFMT) != _S_IFREG) {
        if (descriptor_ >= 0) _close(descriptor_);
        throw std::runtime_error(path.string() +
                                 " is a folder, a pipe or a device, but must be a regular file");
    }
    size_ = about.st_size;
}

File::~File() {
    _close(descriptor_);
}

bool File::read(void* to, std::size_t bytes) {
    constexpr std::size_t most = std::size_t{1} << 30;
    auto* place = static_cast<char*>(to);
    while (bytes > 0) {
        const int came = _read(descriptor_, place, static_cast<unsigned>(std::min(bytes, most)));
        if (came < 0) throw std::system_error(errno, std::generic_category(), path_.string());
        if (came == 0) return false;
        place += came;
        bytes -= static_cast<std::size_t>(came);
    }
    return true;
}

}  // namespace pocketcnn::model
