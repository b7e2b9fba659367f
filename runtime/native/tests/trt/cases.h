// Named test cases that go on after a failure: CASE(name) { ... } with `seed` in scope, EXPECT(condition, format, ...).
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace sanp {
namespace test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  const char* name;
  void (*run)(uint32_t seed);
};

std::vector<Case>& cases();
// Arguments: [--seed N] [--only text] [--list]. Prints "N passed, N failed"; 0 when none failed.
int run_cases(int argc, char** argv);

struct Register {
  Register(const char* name, void (*run)(uint32_t)) { cases().push_back({name, run}); }
};

#define CASE(name) \
  static void case_##name(uint32_t seed); \
  static const ::sanp::test::Register register_##name(#name, case_##name); \
  static void case_##name([[maybe_unused]] uint32_t seed)

__attribute__((format(printf, 1, 2))) inline std::string text(const char* format, ...) {
  char buffer[600];
  va_list args;
  va_start(args, format);
  vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  return buffer;
}

#define EXPECT(condition, ...) \
  do { \
    if (!(condition)) \
      throw ::sanp::test::Failure(::sanp::test::text("%s:%d: %s: ", __FILE__, __LINE__, #condition) + \
                                  ::sanp::test::text(__VA_ARGS__)); \
  } while (0)

// The sentence of an error or a log line has to say what is wrong.
inline bool contains(const std::string& where, const char* what) { return where.find(what) != std::string::npos; }

}  // namespace test
}  // namespace sanp
