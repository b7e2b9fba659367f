// Memory that lives as long as a layer: on cache lines, and on large pages where it fills some.
#pragma once

#include <stddef.h>
#include <stdlib.h>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sanp {

class KeptMemory {
 public:
  KeptMemory() = default;
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;
  ~KeptMemory() { free(data_); }

  // Contents undefined. False when memory is short. Called once.
  bool allocate(size_t bytes) {
    // Weights that start anywhere cost a tenth of a layer whose weights are used a few times: vectors cross lines.
    const size_t align = bytes >= kLargePage ? kLargePage : kLine;
    data_ = aligned_alloc(align, (bytes + align - 1) / align * align);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole pages only: what is left over would occupy one that it does not fill. A refusal is harmless.
    if (data_ != nullptr && bytes >= kLargePage) madvise(data_, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
    return data_ != nullptr;
  }
  void* data() const { return data_; }

 private:
  static constexpr size_t kLine = 64, kLargePage = size_t{2} << 20;
  void* data_ = nullptr;
};

}  // namespace sanp
