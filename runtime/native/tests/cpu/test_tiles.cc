// Every micro-kernel of the list files, forced one by one with each tap count and with whole and partial vectors.
#include "cpu/isa/isa.h"
#include "tests/cpu/conv_case.h"

namespace sanp {
namespace test {
namespace {

void check_tile(const char* isa_name, int mr, int nr, uint32_t seed) {
  const IsaKernels* const isa = find_isa(isa_name);
  if (isa == nullptr) return;
  const IsaKernels kernels = restricted(*isa, mr, nr);
  for (int kernel : {1, 3, 2})
    for (int64_t missing : {0, 1})
      for (int tiles : {1, 2}) {
        const int64_t width = tiles * nr * isa->lanes - missing;
        if (width < 1) continue;
        const int64_t pad = kernel / 2;
        ConvShape s{3, 2, width, 2 * mr, kernel, kernel, 1, 1, pad, pad, kernel - 1 - pad, kernel - 1 - pad, 1, 1, 1};
        for (Algorithm f : {Algorithm::kRows, Algorithm::kColumns, Algorithm::kGather, Algorithm::kInPlace}) {
          const Plan plan(s, kernels, f);
          ConvOptions o;
          o.outputs = Mask::kAll;
          o.residual_map = missing;
          char where[96];
          snprintf(where, sizeof where, "%s tile %d x %d, %d taps", isa_name, mr, nr, kernel * kernel);
          ConvCase(s, o, seed).check(plan, where);
        }
      }
}

// The same tile as the product of Winograd: nr vectors of tiles, the last one with a lane to spare.
void check_points(const char* isa_name, int mr, int nr, uint32_t seed) {
  const IsaKernels* const isa = find_isa(isa_name);
  if (isa == nullptr) return;
  const IsaKernels kernels = restricted(*isa, mr, nr);
  for (Algorithm f : {Algorithm::kWinograd2, Algorithm::kWinograd4})
    for (int tiles : {1, 2}) {
      const int m = winograd_tile(f);
      const int64_t width = (tiles * nr * isa->lanes - 1) * m;
      const ConvShape s{3, m, width, 2 * mr, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1};
      const Plan plan(s, kernels, f);
      const std::vector<Tile>& made = plan.layout_as<WinogradPlan>().register_tiles;
      if (made.size() != static_cast<size_t>(tiles) || made[0].nr != nr) fail("another tile was planned");
      ConvOptions o;
      o.outputs = Mask::kAll;
      char where[96];
      snprintf(where, sizeof where, "%s points %d x %d", isa_name, mr, nr);
      ConvCase(s, o, seed).check(plan, where);
    }
}

TEST_CASE(every_points) { for_each_tile(check_points, seed); }

TEST_CASE(every_tile) { for_each_tile(check_tile, seed); }

void check_pairs(const char* isa_name, int mr, uint32_t seed) {
  const IsaKernels* const isa = find_isa(isa_name);
  if (isa == nullptr) return;
  const ConvShape shapes[] = {
      {7, 2, 2, mr, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},     {7, 1, 1, mr, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1},
      {7, 4, 4, mr, 4, 4, 1, 1, 0, 0, 0, 0, 1, 1, 1},     {7, 2, 2, mr, 2, 2, 2, 2, 0, 0, 0, 0, 1, 1, 1},
      {7, 1, 4, mr + 8, 1, 3, 1, 1, 0, 1, 0, 1, 1, 1, 1},
  };
  for (const ConvShape& s : shapes) {
    const Plan plan(s, *isa, Algorithm::kPixelPairs);
    // Sets with shorter vectors may refuse taps that lie too far apart, but never a 3x3 kernel on 2x2 pixels.
    if (plan.algorithm != Algorithm::kPixelPairs && isa->lanes < kPairLanes && &s != &shapes[0]) continue;
    if (plan.algorithm != Algorithm::kPixelPairs) fail("pixel pairs were refused: " + describe(s));
    ConvOptions o;
    o.outputs = Mask::kAll;
    ConvCase(s, o, seed).check(plan, std::string(isa_name) + " pixel pairs");
  }
}

TEST_CASE(every_pair_kernel) { for_each_pair_kernel(check_pairs, seed); }

}  // namespace
}  // namespace test
}  // namespace sanp
