// sanp_trt_core_test: the parts of the plugin that need no TensorRT header, on any machine.
#include "tests/trt/cases.h"

int main(int argc, char** argv) { return sanp::test::run_cases(argc, argv); }
