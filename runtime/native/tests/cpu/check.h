// The test harness: named cases, a seed that is printed when one fails, and buffers that end at an unmapped page.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

namespace sanp {
namespace test {

struct Case {
  std::string name;
  std::function<void(uint32_t seed)> run;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

struct Register {
  Register(const char* name, std::function<void(uint32_t)> run) { cases().push_back({name, std::move(run)}); }
};

// Rounds of a test: `n`, or the share of it that --fewer asks for under an emulator, where one takes 15 times as long.
inline int fewer = 1;
inline int rounds(int n) { return (n + fewer - 1) / fewer; }

// TEST_CASE(name) { ... } with `seed` in scope.
#define TEST_CASE(name) \
  static void test_##name(uint32_t seed); \
  static const ::sanp::test::Register register_##name(#name, test_##name); \
  static void test_##name([[maybe_unused]] uint32_t seed)

[[noreturn]] inline void fail(const std::string& message) {
  fprintf(stderr, "FAILED: %s\n", message.c_str());
  exit(1);
}

// Floats that end exactly where an unmapped page begins: reading or writing one too many crashes here.
class GuardedFloats {
 public:
  explicit GuardedFloats(size_t n, float value = 0.0f) : n_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = (n * sizeof(float) + page - 1) / page * page;
    bytes_ = body + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) fail("mmap");
    if (mprotect(base_, page, PROT_NONE) != 0 || mprotect(base_ + page + body, page, PROT_NONE) != 0) fail("mprotect");
    data_ = reinterpret_cast<float*>(base_ + page + body) - n;
    for (size_t i = 0; i < n; ++i) data_[i] = value;
  }
  ~GuardedFloats() { munmap(base_, bytes_); }
  GuardedFloats(const GuardedFloats&) = delete;
  GuardedFloats& operator=(const GuardedFloats&) = delete;

  float* data() { return data_; }
  const float* data() const { return data_; }
  size_t size() const { return n_; }
  float& operator[](size_t i) { return data_[i]; }
  float operator[](size_t i) const { return data_[i]; }

 private:
  size_t n_, bytes_;
  char* base_;
  float* data_;
};

}  // namespace test
}  // namespace sanp
