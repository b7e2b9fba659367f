// Runs the registered cases.
#include "tests/trt/cases.h"

#include <stdlib.h>
#include <string.h>

namespace sanp {
namespace test {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

int run_cases(int argc, char** argv) {
  uint32_t seed = 20190808;
  const char* only = "";
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = static_cast<uint32_t>(strtoul(argv[++i], nullptr, 10));
    } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else if (strcmp(argv[i], "--list") == 0) {
      for (const Case& c : cases()) printf("%s\n", c.name);
      return 0;
    } else {
      fprintf(stderr, "usage: %s [--seed N] [--only text] [--list]\n", argv[0]);
      return 2;
    }
  }
  int passed = 0, failed = 0;
  for (const Case& c : cases()) {
    if (strstr(c.name, only) == nullptr) continue;
    // Printed first, so that a crash also shows how to repeat it.
    printf("--only %s --seed %u\n", c.name, seed);
    fflush(stdout);
    try {
      c.run(seed);
      ++passed;
    } catch (const std::exception& e) {
      printf("FAILED %s\n", e.what());
      ++failed;
    }
  }
  printf("%d passed, %d failed\n", passed, failed);
  return passed > 0 && failed == 0 ? 0 : 1;
}

}  // namespace test
}  // namespace sanp
