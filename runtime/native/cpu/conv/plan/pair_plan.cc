// Finds the tap of every pixel pair.
#include "cpu/conv/plan/pair_plan.h"

namespace sanp {

PairPlan::PairPlan(const Problem& p) : taps(kPairLanes, -1) {
  const ConvShape& s = p.shape;
  const int64_t inputs = s.height * s.width;
  for (int64_t pixel = 0; pixel < p.pixels; ++pixel)
    for (int64_t t = 0; t < p.n_taps; ++t) {
      const int64_t y = pixel / p.out_w * s.stride_y - s.pad_top + t / s.kernel_w * s.dilation_y;
      const int64_t x = pixel % p.out_w * s.stride_x - s.pad_left + t % s.kernel_w * s.dilation_x;
      if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
      taps[pixel * inputs + y * s.width + x] = static_cast<int32_t>(t);
    }
}

bool pairs_possible(const Problem& p) {
  return p.isa->pairs_fit != nullptr && p.n_taps > 1 && p.n_taps <= kPairLanes &&
         p.shape.height * p.shape.width <= kPairLanes / p.pixels &&
         p.isa->pairs_fit(PairPlan(p).taps.data(), static_cast<int>(p.n_taps));
}

}  // namespace sanp
