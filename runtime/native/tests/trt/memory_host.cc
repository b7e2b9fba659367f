// Memory on the heap.
#include <stdlib.h>
#include <string.h>

#include "tests/trt/cases.h"
#include "tests/trt/memory.h"

namespace sanp {
namespace test {
namespace {

constexpr size_t kGuard = 256;
constexpr char kPattern = 0x5a;

}  // namespace

Memory::Memory(size_t bytes, int fill) : bytes_(bytes) {
  void* p = nullptr;
  if (posix_memalign(&p, 256, bytes + kGuard) != 0) throw Failure("out of memory");
  data_ = static_cast<char*>(p);
  memset(data_, fill, bytes);
  memset(data_ + bytes, kPattern, kGuard);
}

Memory::Memory(const std::vector<char>& content) : Memory(content.size()) {
  if (!content.empty()) memcpy(data_, content.data(), content.size());
}

Memory::~Memory() { free(data_); }

std::vector<char> Memory::download() const {
  for (size_t i = 0; i < kGuard; ++i)
    EXPECT(data_[bytes_ + i] == kPattern, "byte %zu behind %zu bytes was written", i, bytes_);
  return std::vector<char>(data_, data_ + bytes_);
}

void* stream() { return nullptr; }
void synchronize() {}
void capture_and_replay(void (*f)(void*), void* argument) { f(argument); }

}  // namespace test
}  // namespace sanp
