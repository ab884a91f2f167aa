// A file that is read from its beginning to its end; file_unix.cpp or file_windows.cpp asks the
// system for it.
#pragma once

#include <pocketcnn/types.h>

#include <cstddef>
#include <filesystem>

namespace pocketcnn::model {

/// An open regular file.
class File {
  public:
    /// Throws std::system_error, or std::runtime_error for what has no end.
    explicit File(const std::filesystem::path& path);
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File();

    index_t size() const { return size_; }
    /// Reads the next bytes, and returns whether there were as many.
    bool read(void* to, std::size_t bytes);

  private:
    std::filesystem::path path_;
    int descriptor_;
    index_t size_ = 0;
};

}  // namespace pocketcnn::model
