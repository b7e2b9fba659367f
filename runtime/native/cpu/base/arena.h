// Scratch memory of one thread: grows, is reused by the next call, never throws.
#pragma once

#include <stddef.h>
#include <stdlib.h>

namespace sanp {

class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { free(data_); }

  // At least `bytes`, 64-byte aligned, contents undefined; null when memory is short. Ends the previous loan.
  void* get(size_t bytes) {
    if (bytes <= size_ && data_ != nullptr) return data_;
    free(data_);
    size_ = (bytes + bytes / 4 + 4096) / 4096 * 4096;  // never 0: null means that memory is short
    data_ = aligned_alloc(64, size_);
    if (data_ == nullptr) size_ = 0;
    return data_;
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;
};

// Three loans can be live on one thread: the lists of a sample, pixels packed by it or by a task it runs, and what a
// task needs besides.
inline Arena& list_arena() {
  static thread_local Arena arena;
  return arena;
}
inline Arena& pixel_arena() {
  static thread_local Arena arena;
  return arena;
}

inline Arena& block_arena() {
  static thread_local Arena arena;
  return arena;
}

}  // namespace sanp
