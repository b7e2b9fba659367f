// Depthwise: rows, strips, chains of taps and vectors of the end of a row, on every instruction set and its narrower
// one.
#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

ConvShape depthwise(int64_t channels, int64_t multiplier, int64_t h, int64_t w, int64_t kernel, int64_t stride,
                    int64_t dilation = 1) {
  const int64_t pad = dilation * (kernel - 1) / 2;
  return {channels, h,        w,       channels * multiplier, kernel, kernel, stride, stride, pad, pad, pad, pad,
          dilation, dilation, channels};
}

void check_shape(const ConvShape& s, std::mt19937& rng) {
  const ConvCase c(s, some_options(rng, 2), rng());
  for (const IsaKernels* isa : isas()) {
    const Plan copied(s, *isa, Algorithm::kDepthwise), in_place(s, *isa, Algorithm::kDepthwiseInPlace);
    if (copied.algorithm != Algorithm::kDepthwise) fail("another algorithm was planned: " + describe(s));
    c.check(copied, std::string("depthwise ") + isa->name);
    if (isa->depthwise_in_place[1] == nullptr || s.stride_x > kMaxColumnStride) continue;
    if (in_place.algorithm != Algorithm::kDepthwiseInPlace) fail("in place was refused: " + describe(s));
    c.check(in_place, std::string("depthwise in place ") + isa->name);
  }
}

// Output widths around every vector length, heights around the rows that are computed together.
TEST_CASE(depthwise_sizes) {
  std::mt19937 rng(seed + 40);
  for (int64_t width : {1, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 24, 25, 28, 31, 32, 33, 40})
    for (int64_t height : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17})
      if (rng() % 4 == 0)
        for (int64_t kernel : {3, 5}) check_shape(depthwise(3, 1 + rng() % 2, height, width, kernel, 1), rng);
}

// Chains of every length: kernels up to 11, strides that split them, dilations that leave single taps.
TEST_CASE(depthwise_taps) {
  std::mt19937 rng(seed + 41);
  for (int64_t kernel : {2, 3, 4, 5, 6, 7, 9, 11})
    for (int64_t stride : {1, 2, 3})
      for (int64_t dilation : {1, 2, 3})
        check_shape(depthwise(2, 1, 9 + rng() % 9, 9 + rng() % 20, kernel, stride, dilation), rng);
  ConvShape wide = depthwise(4, 1, 12, 12, 3, 1);
  wide.kernel_w = 5, wide.stride_x = 2, wide.pad_left = 0, wide.pad_right = 4, wide.pad_top = 2;
  check_shape(wide, rng);
}

// A stride of two: columns around the vectors, every remainder of rows, and any padding.
TEST_CASE(depthwise_strided) {
  std::mt19937 rng(seed + 43);
  int taken = 0;
  for (int64_t kernel : {3, 5})
    for (int64_t width : {17, 18, 23, 30, 31, 32, 33, 34, 47, 63, 64, 65, 66, 97})
      for (int64_t height : {3, 4, 5, 7, 8, 9, 10, 11, 12}) {
        ConvShape s = depthwise(3, 1 + rng() % 2, height, width, kernel, 2);
        s.pad_top = rng() % 3, s.pad_left = rng() % 4, s.pad_bottom = 2 + rng() % 2, s.pad_right = rng() % 4;
        for (const IsaKernels* isa : isas())
          if (isa->depthwise_strided[kernel] != nullptr) {
            const Plan plan(s, *isa);
            taken += plan.algorithm == Algorithm::kDepthwiseInPlace && !plan.layout_as<EdgePlan>().strided.empty();
          }
        check_shape(s, rng);
      }
  for (const IsaKernels* isa : isas())
    if (isa->depthwise_strided[3] != nullptr && taken == 0) fail("no shape took the kernel");
}

// Maps of several strips, whose rows at the top and the bottom are cleared again for every channel.
TEST_CASE(depthwise_strips) {
  std::mt19937 rng(seed + 42);
  for (int64_t size : {56, 61, 112, 130})
    for (int64_t stride : {1, 2}) {
      const ConvShape s = depthwise(5, 1, size, size - 3, 5, stride);
      const Plan plan(s, *isas()[0], Algorithm::kDepthwise);
      if (plan.layout_as<DepthwisePlan>().strips < 2) fail("one strip: " + describe(s));
      check_shape(s, rng);
    }
}

// Closed channels on either side: one that is not read, and one whose input is closed but which itself is open.
TEST_CASE(depthwise_masks) {
  std::mt19937 rng(seed + 43);
  const ConvShape s = depthwise(32, 1, 14, 14, 3, 1);
  ConvOptions o;
  o.batch = 1;
  for (Mask outputs : kMasks)
    for (Mask inputs : kMasks) {
      o.outputs = outputs, o.inputs = inputs;
      const ConvCase c(s, o, rng());
      for (const IsaKernels* isa : isas())
        for (Algorithm f : {Algorithm::kDepthwise, Algorithm::kDepthwiseInPlace})
          c.check(Plan(s, *isa, f), "depthwise masks");
    }
}

}  // namespace
}  // namespace test
}  // namespace sanp
