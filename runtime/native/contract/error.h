// An error as a sentence in a fixed buffer: nothing allocates, so nothing can throw where nothing may.
#pragma once

#include <stdarg.h>
#include <stdio.h>

namespace sanp {

// Sentence pattern: what was found - what was expected - what to do. An empty sentence is no error.
class [[nodiscard]] Error {
 public:
  Error() noexcept { text_[0] = '\0'; }
  static constexpr int kMostText = 512;  // with the terminating zero

  explicit operator bool() const noexcept { return text_[0] != '\0'; }
  const char* text() const noexcept { return text_; }

  __attribute__((format(printf, 1, 2))) static Error format(const char* pattern, ...) noexcept {
    Error error;
    va_list args;
    va_start(args, pattern);
    vsnprintf(error.text_, sizeof error.text_, pattern, args);
    va_end(args);
    return error;
  }

 private:
  char text_[kMostText];
};

}  // namespace sanp
