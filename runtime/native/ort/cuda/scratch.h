// Scratch memory of one launch, ordered by the stream it runs on.
#pragma once

#include <stddef.h>

namespace sanp {

// cudaMallocAsync and cudaFreeAsync: the memory belongs to this run only, however many runs a session has at once and
// whichever streams they use, and the driver's pool makes it as cheap as a lock. ONNX Runtime's own allocator knows no
// stream at this interface: what is freed there after the launch can be given to a run on another stream before the
// kernel has finished. A buffer kept per operator would need a lock around every launch.
class Scratch {
 public:
  Scratch(size_t bytes, void* stream) noexcept;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* get() const noexcept { return data_; }
  // 0, or the CUDA error of the allocation.
  int status() const noexcept { return status_; }

 private:
  void* data_ = nullptr;
  void* const stream_;
  bool pooled_ = false;
  int status_ = 0;
};

}  // namespace sanp
