// Runs the kernel tests: sanp_kernel_test [--seed N] [--only text] [--fewer N] [--list]
#include "tests/cpu/check.h"

int main(int argc, char** argv) {
  uint32_t seed = 20190512;
  const char* only = "";
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      seed = static_cast<uint32_t>(strtoul(argv[++i], nullptr, 10));
    } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
      only = argv[++i];
    } else if (strcmp(argv[i], "--fewer") == 0 && i + 1 < argc && atoi(argv[i + 1]) > 0) {
      sanp::test::fewer = atoi(argv[++i]);
    } else if (strcmp(argv[i], "--list") == 0) {
      for (const auto& c : sanp::test::cases()) printf("%s\n", c.name.c_str());
      return 0;
    } else {
      fprintf(stderr, "usage: %s [--seed N] [--only text] [--fewer N] [--list]\n", argv[0]);
      return 2;
    }
  }
  int count = 0;
  for (const auto& c : sanp::test::cases()) {
    if (c.name.find(only) == std::string::npos) continue;
    // Printed first, so that a crash also shows how to repeat it.
    printf("%s --only %s --seed %u --fewer %d\n", argv[0], c.name.c_str(), seed, sanp::test::fewer);
    fflush(stdout);
    c.run(seed);
    ++count;
  }
  if (count == 0) {
    fprintf(stderr, "no test is named like '%s'\n", only);
    return 2;
  }
  printf("%d passed\n", count);
  return 0;
}
