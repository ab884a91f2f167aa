// A pool of 64-byte aligned blocks that are reused from step to step, because freshly mapped pages
// cost more than a small convolution. The pool holds little more than was ever in use at once.
#pragma once

#include <pocketcnn/types.h>

#include <cstddef>
#include <limits>
#include <new>
#include <utility>

namespace pocketcnn {

inline constexpr std::size_t kAlignment = 64;

/// Says how much was requested, without allocating memory for the message.
class OutOfMemory : public std::bad_alloc {
  public:
    explicit OutOfMemory(std::size_t bytes) noexcept;
    const char* what() const noexcept override { return text_; }

  private:
    char text_[80];
};

/// At least `bytes` bytes, aligned to kAlignment, not initialised; throws OutOfMemory.
void* pool_allocate(std::size_t bytes);
/// Returns a block of pool_allocate to the pool; null is allowed.
void pool_release(void* block) noexcept;

/// An array of T from the pool that lives as long as this object. Elements are not initialised.
template <typename T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(index_t size) : data_(static_cast<T*>(pool_allocate(bytes(size)))) {}
    Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~Buffer() { pool_release(data_); }

    T* data() const { return data_; }
    T& operator[](index_t i) const { return data_[i]; }
    /// Hands the block over; the caller must pool_release it.
    T* release() { return std::exchange(data_, nullptr); }

  private:
    static std::size_t bytes(index_t size) {
        if (size < 0 || size > std::numeric_limits<index_t>::max() / index_t{sizeof(T)}) {
            throw OutOfMemory(std::numeric_limits<std::size_t>::max());
        }
        return static_cast<std::size_t>(size) * sizeof(T);
    }
    T* data_ = nullptr;
};

}  // namespace pocketcnn
