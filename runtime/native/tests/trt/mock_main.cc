// sanp_trt_mock: plays TensorRT for the plugin libraries.
//   sanp_trt_mock libsanp_trt.so libsanp_trt_creators.so [--seed N] [--only text] [--list]
#include <dlfcn.h>
#include <string.h>

#include "tests/trt/cases.h"
#include "tests/trt/fake_tensorrt.h"
#include "tests/trt/libraries.h"

sanp::test::Libraries& sanp::test::libraries() {
  static Libraries both;
  return both;
}

int main(int argc, char** argv) {
  using namespace sanp::test;
  if (argc < 3) {
    fprintf(stderr, "usage: %s libsanp_trt.so libsanp_trt_creators.so [--seed N] [--only text] [--list]\n", argv[0]);
    return 2;
  }
  libraries() = {argv[1], argv[2]};
  // Loading is all an application does.
  if (dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    fprintf(stderr, "%s\n0 passed, 1 failed\n", dlerror());
    return 1;
  }
  argv[2] = argv[0];
  return run_cases(argc - 2, argv + 2);
}
