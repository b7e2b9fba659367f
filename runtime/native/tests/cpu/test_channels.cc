// Lanes of output channels: every kernel, channels that leave part of a vector, and the same bits as lanes of pixels.
#include <thread>

#include "cpu/isa/isa.h"
#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

ConvShape pointwise(int64_t in, int64_t out, int64_t h, int64_t w) {
  return {in, h, w, out, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1};
}

// A plan for tiles of at most `pixels`.
IsaKernels with_tiles(const IsaKernels& isa, int pixels) {
  IsaKernels k = isa;
  k.channel_pixels = pixels;
  return k;
}

void check_shape(const ConvShape& s, const IsaKernels& isa, std::mt19937& rng, Mask outputs) {
  ConvOptions o = some_options(rng, 2);
  o.outputs = outputs;
  o.residual_value = o.residual_map ? 0.0f : 0.5f;
  const Plan plan(s, isa, Algorithm::kChannels);
  if (plan.algorithm != Algorithm::kChannels) fail("another algorithm was planned: " + describe(s));
  ConvCase(s, o, rng()).check(plan, std::string("channels ") + isa.name);
}

// One tile of every size, and two that overlap; whole blocks, a block with one vector, and part of a vector.
TEST_CASE(every_channels_kernel) {
  std::mt19937 rng(seed + 60);
  for (const IsaKernels* isa : isas())
    for (int pixels = kDotMaxPixels + 1; pixels <= isa->channel_pixels; ++pixels)
      for (int64_t map : {pixels, 2 * pixels - 1})
        for (int64_t vecs : {1, 2, 3})
          for (int64_t more : {0, 1, isa->lanes - 1})
            for (Mask outputs : {Mask::kAll, Mask::kHalf})
              check_shape(pointwise(5, vecs * isa->lanes + more, 1, map), with_tiles(*isa, pixels), rng, outputs);
}

// Samples with few open rows take lanes of pixels, copied or where they lie.
TEST_CASE(channels_or_pixels) {
  std::mt19937 rng(seed + 61);
  for (int64_t size : {3, 4, 6, 7, 12, 14, 16, 40})
    for (int64_t in : {1, 13, 70})
      for (Mask outputs : kMasks)
        for (const IsaKernels* isa : isas()) check_shape(pointwise(in, 48, size, size), *isa, rng, outputs);
}

TEST_CASE(channels_have_the_bits_of_pixels) {
  std::mt19937 rng(seed + 62);
  for (int round = 0; round < rounds(60); ++round) {
    const ConvShape s = pointwise(1 + rng() % 60, 16 + rng() % 60, 2 + rng() % 6, 3 + rng() % 6);
    ConvOptions o = some_options(rng, 2);
    o.outputs = Mask::kAll;
    const ConvCase c(s, o, rng());
    std::vector<float> channels(c.output_floats()), pixels(c.output_floats());
    for (const IsaKernels* isa : isas()) {
      const Plan a(s, *isa, Algorithm::kChannels), b(s, *isa, Algorithm::kRows);
      if (a.layout_as<ChannelsPlan>().least_rows > s.channels_out) continue;
      if (!c.run(a, channels.data(), Pool{nullptr, nullptr}) || !c.run(b, pixels.data(), Pool{nullptr, nullptr}))
        fail("memory");
      if (memcmp(channels.data(), pixels.data(), channels.size() * sizeof(float)) != 0)
        fail(std::string("other bits, ") + isa->name + ": " + describe(s));
    }
  }
}

// Tasks have blocks and tiles of their own; those of two that overlap belong to one.
TEST_CASE(channels_on_threads) {
  const Pool threads{[](void*, Pool::Task task, size_t count, void* arg) {
                       if (count < 2) fail("one task");
                       std::vector<std::thread> all;
                       for (size_t i = 0; i < count; ++i) all.emplace_back(task, arg, i);
                       for (std::thread& t : all) t.join();
                     },
                     nullptr};
  for (Mask outputs : {Mask::kAll, Mask::kHalf}) {
    const ConvShape s = pointwise(160, 16 * 16, 7, 9);
    ConvOptions o;
    o.outputs = outputs;
    o.inputs = Mask::kAll;
    o.residual_map = true;
    ConvCase(s, o, seed).check(Plan(s, best_isa(), Algorithm::kChannels), "channels on threads", threads);
  }
}

// The model takes them for small maps where they fill more lanes, and only where a copy of the weights is allowed.
TEST_CASE(channels_are_chosen) {
  for (const IsaKernels* isa : isas()) {
    if (isa->lanes < 16) continue;
    const ConvShape small = pointwise(64, 64, 3, 3), large = pointwise(64, 64, 56, 56);
    if (Plan(small, *isa).algorithm == Algorithm::kChannels) fail("chosen without copies");
    if (Plan(small, *isa, 0, {}, true).algorithm != Algorithm::kChannels) fail("not chosen for 3x3");
    if (Plan(large, *isa, 0, {}, true).algorithm == Algorithm::kChannels) fail("chosen for 56x56");
  }
}

}  // namespace
}  // namespace test
}  // namespace sanp
