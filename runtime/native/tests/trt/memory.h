// Memory that the kernels work on: the heap with host kernels, a GPU's with the real ones.
#pragma once

#include <stddef.h>

#include <vector>

namespace sanp {
namespace test {

// Exactly `bytes` usable bytes, 256-byte aligned as TensorRT's are, with a guard behind them.
class Memory {
 public:
  explicit Memory(size_t bytes, int fill = 0xff);  // 0xff everywhere is NaN in every float type
  Memory(const std::vector<char>& content);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* get() const { return data_; }
  // Waits for the stream. Throws Failure when something wrote behind the end.
  std::vector<char> download() const;

 private:
  char* data_;
  size_t bytes_;
};

// The stream that everything is enqueued on; null on the host.
void* stream();
void synchronize();
// Records f's launches as a CUDA graph and replays it; on the host it just calls f.
void capture_and_replay(void (*f)(void*), void* argument);

}  // namespace test
}  // namespace sanp
