// Derives the numbers of a problem from its shape.
#include "cpu/conv/plan/problem.h"

namespace sanp {

Problem::Problem(const ConvShape& s, const IsaKernels& kernels) : shape(s), isa(&kernels) {
  s.output_size(&out_h, &out_w);
  pixels = out_h * out_w;
  group_in = s.channels_in / s.group;
  group_out = s.channels_out / s.group;
  n_taps = s.kernel_h * s.kernel_w;
  taps_kind = n_taps == 1 ? kTaps1 : n_taps == 9 ? kTaps9 : kTapsAny;
}

// 7x7 is three vectors of 16 and one pixel, 15x15 fourteen and one: a fourth vector for one pixel would cost a third
// more. Dot products over that pixel read all input channels, active or not, hence the limit of a quarter vector.
int64_t Problem::dot_tail() const {
  const int64_t tail = pixels % isa->lanes;
  return pixels > isa->lanes && tail <= kDotMaxPixels && tail * 4 <= isa->lanes ? tail : 0;
}

}  // namespace sanp
