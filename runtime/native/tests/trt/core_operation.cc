// Plans and launches over the host kernels, and the conversions the tests rely on; runs without TensorRT.
#include <math.h>

#include "tests/trt/cases.h"
#include "tests/trt/core_problem.h"
#include "tests/trt/half.h"
#include "trt/gated_conv.h"
#include "trt/operation.h"

namespace sanp {
namespace test {
namespace {

// The kernels refuse a plan of another shape, so this shows that a new shape is planned again.
CASE(operation_replans_for_new_shapes) {
  std::mt19937 rng(seed);
  std::vector<float> data(1 << 16, 0.5f), result(1 << 16);
  alignas(256) static char workspace[1 << 16];
  for (int i = 0; i < 20; ++i) {
    Problem p = random_problem(rng);
    Operation<GatedConv> operation(p.a);
    const void* const inputs[] = {data.data(), data.data(), data.data(), data.data(), data.data(), data.data()};
    void* const outputs[] = {result.data()};
    for (int64_t n : {2, 1, 3, 3, 0, 2}) {
      for (int t : {0, 2, 3, 4}) p.in[t].shape.dims[0] = n;
      p.out[0].shape.dims[0] = n;
      p.in[5] = tensor({1});
      size_t bytes = 1;
      const Error sized = operation.workspace(p.in, p.out, &bytes);
      EXPECT(!sized && bytes <= sizeof workspace && (n > 0 || bytes == 0), "%s", sized.text());
      if (n == 2) EXPECT(!operation.prepare(p.in, p.out), "prepared");
      const Error e = operation.launch(p.in, p.out, inputs, outputs, workspace, nullptr);
      EXPECT(!e, "batch %lld: %s", (long long)n, e.text());
    }
    EXPECT(contains(operation.launch(p.in, p.out, inputs, outputs, nullptr, nullptr).text(), "bad argument"),
           "the status of a launch is reported");
  }
}

CASE(half_conversions_of_this_test) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float f = float_of_half(static_cast<uint16_t>(bits));
    if (!isnan(f)) EXPECT(half_of_float(f) == bits, "%04x", bits);
    if (bits >= 0x7bff) continue;
    // Halfway to the next one goes to the even one, a little more goes up.
    const float next = float_of_half(static_cast<uint16_t>(bits + 1)), middle = (f + next) / 2;
    EXPECT(half_of_float(middle) == (bits + 1) / 2 * 2, "%04x: the middle rounds to even", bits);
    EXPECT(half_of_float(nextafterf(middle, next)) == bits + 1, "%04x: above the middle", bits);
  }
  EXPECT(half_of_float(65519.0f) == 0x7bff && half_of_float(65520.0f) == 0x7c00, "the largest");
}

}  // namespace
}  // namespace test
}  // namespace sanp
