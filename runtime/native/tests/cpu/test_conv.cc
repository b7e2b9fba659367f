// The gated convolution against its reference: random shapes, every mask pattern, every algorithm, every instruction
// set.
#include <math.h>

#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

template <size_t N>
int64_t pick(const int64_t (&values)[N], std::mt19937& rng) {
  return values[rng() % N];
}

// Widths around the vector lengths, channels around the tile heights, and everything else a convolution can have.
ConvShape random_shape(std::mt19937& rng) {
  for (;;) {
    ConvShape s{};
    s.group = pick({1, 1, 1, 1, 2, 3}, rng);
    s.channels_in = s.group * pick({1, 2, 3, 4, 5, 7, 8, 13}, rng);
    s.channels_out = s.group * pick({1, 2, 3, 5, 6, 7, 8, 9, 11, 13, 17}, rng);
    if (rng() % 10 == 0) s.channels_out = s.channels_in * pick({1, 2}, rng), s.group = s.channels_in;
    s.height = pick({1, 2, 3, 4, 5, 7, 8, 9, 15, 16}, rng);
    s.width = pick({1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 30, 31, 32, 33, 40}, rng);
    s.kernel_h = pick({1, 3, 3, 3, 2, 5, 7}, rng);
    s.kernel_w = rng() % 4 ? s.kernel_h : pick({1, 2, 3, 4, 5, 6, 7}, rng);
    s.stride_y = pick({1, 1, 1, 2, 3}, rng);
    s.stride_x = rng() % 4 ? s.stride_y : pick({1, 2, 3, 4}, rng);
    s.dilation_y = pick({1, 1, 1, 2, 3}, rng);
    s.dilation_x = rng() % 4 ? s.dilation_y : pick({1, 2, 3}, rng);
    s.pad_top = pick({0, 1, 1, 2, 3, 5}, rng);
    s.pad_left = pick({0, 1, 1, 2, 3, 9}, rng);
    s.pad_bottom = rng() % 4 ? s.pad_top : pick({0, 1, 2, 7}, rng);
    s.pad_right = rng() % 4 ? s.pad_left : pick({0, 1, 2, 18}, rng);
    int64_t h, w;
    if (s.output_size(&h, &w) && h * w < 2500) return s;
  }
}

ConvOptions random_options(std::mt19937& rng) {
  ConvOptions o;
  o.batch = pick({1, 1, 2, 3, 5}, rng);
  o.outputs = kMasks[rng() % 6];
  o.inputs = kMasks[rng() % 6];
  o.broadcast_scale = rng() & 1;
  o.broadcast_active = rng() & 1;
  o.residual_map = rng() & 1;
  o.residual_value = rng() & 1 ? 0.0f : 0.5f;
  o.act_min = rng() & 1 ? 0.0f : -INFINITY;
  o.act_max = rng() & 1 ? INFINITY : 6.0f;
  return o;
}

TEST_CASE(random_shapes) {
  std::mt19937 rng(seed);
  for (int round = 0; round < rounds(5000); ++round) {
    const ConvShape shape = random_shape(rng);
    const ConvCase c(shape, random_options(rng), rng());
    for (const IsaKernels* isa : isas()) c.check(Plan(shape, *isa), std::string("random ") + isa->name);
  }
}

TEST_CASE(algorithms) {
  std::mt19937 rng(seed + 1);
  for (int round = 0; round < rounds(500); ++round) {
    ConvShape shape = random_shape(rng);
    if (round % 5 == 0) shape = ConvShape{5, 2, 2, 9, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const ConvCase c(shape, random_options(rng), rng());
    for (const IsaKernels* isa : isas())
      for (Algorithm f : kAlgorithms) c.check(Plan(shape, *isa, f), std::string("forced ") + isa->name);
  }
}

TEST_CASE(every_mask_on_both_sides) {
  std::mt19937 rng(seed + 2);
  const ConvShape shapes[] = {
      {9, 8, 8, 13, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},   {20, 4, 4, 19, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {33, 2, 2, 21, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},  {16, 16, 16, 12, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
      {6, 15, 15, 10, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1}, {8, 9, 9, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 8},
      {40, 1, 1, 11, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},  {6, 7, 17, 10, 5, 3, 1, 1, 2, 1, 2, 1, 1, 1, 2},
  };
  for (const ConvShape& shape : shapes)
    for (Mask outputs : kMasks)
      for (Mask inputs : kMasks) {
        ConvOptions o;
        o.batch = 2;
        o.outputs = outputs;
        o.inputs = inputs;
        o.residual_map = rng() & 1;
        const ConvCase c(shape, o, rng());
        for (const IsaKernels* isa : isas()) c.check(Plan(shape, *isa), std::string("mask ") + isa->name);
      }
}

// A wish is followed where the algorithm can hold the shape and its Winograd tile is allowed; otherwise the model
// chooses.
TEST_CASE(wishes) {
  std::mt19937 rng(seed + 3);
  int followed = 0, refused = 0;
  for (int round = 0; round < rounds(200); ++round) {
    const ConvShape shape = random_shape(rng);
    for (const IsaKernels* isa : isas())
      for (Algorithm f : kAlgorithms)
        for (int limit : {0, 2, 4}) {
          const int m = winograd_tile(f);
          const bool copies = limit == 2;
          const bool allowed = m <= limit && (copies || f != Algorithm::kChannels);
          const bool takes = Plan(shape, *isa, f).algorithm == f && allowed;
          const Algorithm expected = takes ? f : Plan(shape, *isa, limit, {}, copies).algorithm,
                          got = Plan(shape, *isa, limit, f, copies).algorithm;
          if (got != expected)
            fail(std::string("wished ") + algorithm_name(f) + ", got " + algorithm_name(got) + ", expected " +
                 algorithm_name(expected) + ": " + describe(shape));
          ++(takes ? followed : refused);
        }
  }
  if (followed == 0 || refused == 0) fail("the shapes try one side only");
  for (Algorithm f : kAlgorithms)
    if (algorithm_of(algorithm_name(f)) != f) fail(algorithm_name(f));
  for (const char* name : {"", "?", "Rows", "rows "})
    if (algorithm_of(name)) fail(std::string("accepted '") + name + "'");
}

// Paddings and dilations whose bordered planes would not fit must still be computed, in bounded memory.
TEST_CASE(absurd_geometry) {
  const ConvShape shapes[] = {
      {2, 5, 5, 3, 3, 3, 4000, 4000, 9000, 9000, 9000, 9000, 3000, 3000, 1},
      {2, 5, 5, 3, 2, 2, 997, 991, 4001, 4003, 4007, 4009, 3989, 3967, 1},
      {1, 1, 1, 1, 7, 7, 1, 1, 3, 3, 3, 3, 1, 1, 1},
      {3, 2, 3, 4, 3, 3, 5, 5, 60, 60, 60, 60, 20, 20, 1},
  };
  for (const ConvShape& shape : shapes) {
    const ConvCase c(shape, ConvOptions{}, seed);
    for (const IsaKernels* isa : isas()) c.check(Plan(shape, *isa), std::string("absurd ") + isa->name);
  }
}

TEST_CASE(sizes_out_of_range_are_refused) {
  const int64_t big = int64_t{1} << 40;
  int64_t h, w;
  const ConvShape bad[] = {
      {1, 2, 2, 1, 3, 3, 1, 1, 0, 0, 0, 0, 1, 1, 1},     {1, 2, 2, 1, 3, 3, 0, 1, 1, 1, 1, 1, 1, 1, 1},
      {1, 2, 2, 1, 3, 3, 1, 1, 1, 1, 1, 1, 0, 1, 1},     {1, 2, 2, 1, 3, 3, 1, 1, -1, 1, 1, 1, 1, 1, 1},
      {1, 2, 2, 1, 3, 3, 1, 1, big, 1, big, 1, 1, 1, 1}, {1, 2, 2, 1, 3, 3, 1, 1, 1, 1, 1, 1, big, 1, 1},
      {1, 0, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},     {1, 65536, 65536, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
  };
  for (const ConvShape& s : bad)
    if (s.output_size(&h, &w)) fail("accepted " + describe(s));
}

// A NaN scale is an active channel, a NaN in in_active an active input, and NaN pixels survive the clamp.
TEST_CASE(nan_is_active) {
  const ConvShape shape{2, 4, 4, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  std::vector<float> x(32, 1.0f), w(36, 1.0f), y(32);
  const float zero = 0, scale[2] = {NAN, 1.0f}, shift[2] = {0, 0}, active[2] = {NAN, 0.0f};
  for (int i = 16; i < 32; ++i) x[i] = NAN;  // inactive
  for (const IsaKernels* isa : isas()) {
    ConvCall c{1, x.data(), w.data(), scale, shift, active, 0, 0, 0, &zero, false, 0.0f, 6.0f, y.data()};
    run_conv(Plan(shape, *isa), c, Pool{nullptr, nullptr});
    if (!(y[5] != y[5])) fail("NaN scale was masked or clamped away");
    if (y[16 + 5] != 6.0f) fail("NaN in_active was taken for inactive");
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
