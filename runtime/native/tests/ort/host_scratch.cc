// Scratch memory of the host.
#include <stdlib.h>

#include "ort/cuda/scratch.h"

namespace sanp {

Scratch::Scratch(size_t bytes, void* stream) noexcept : stream_(stream) {
  if (bytes > 0) status_ = posix_memalign(&data_, 256, bytes);
}

Scratch::~Scratch() { free(data_); }

}  // namespace sanp
