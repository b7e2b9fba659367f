// Checks the attributes and the shapes of SanpPixelGatedConv: those of the convolution, and the division into parts.
#include "contract/pixel_gated_conv.h"

#include <math.h>

#include "contract/gated_conv.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

GatedConvAttributes convolution_of(const PixelGatedConvAttributes& a) {
  GatedConvAttributes c{};
  for (int i = 0; i < 2; ++i) c.strides[i] = a.strides[i], c.dilations[i] = a.dilations[i];
  for (int i = 0; i < 4; ++i) c.pads[i] = a.pads[i];
  c.group = 1;
  c.act_min = -INFINITY;
  c.act_max = INFINITY;
  return c;
}

}  // namespace

Error check(const PixelGatedConvAttributes& a) noexcept {
  if (a.parts < 1)
    return Error::format("attribute 'parts' is %lld; it must be at least 1, re-export the model", ll(a.parts));
  return check(convolution_of(a));
}

Error check(const PixelGatedConvAttributes& a, const Shape<int64_t>* const (&in)[kPixelInputs],
            PixelGatedConvProblem* p) noexcept {
  const Shape<int64_t>&x = *in[kPixelX], &w = *in[kPixelW];
  if (Error e = require_rank(x, kPixelInputNames[kPixelX], 4, kMayBeEmpty)) return e;
  if (Error e = require_rank(w, kPixelInputNames[kPixelW], 4)) return e;
  const int64_t c_in = x.dims[1], c_out = w.dims[0];
  // The convolution is that of SanpGatedConv without gate and residual.
  const Shape<int64_t> row = shape_of({1, c_out}), active = shape_of({1, c_in}), none = shape_of({1});
  const Shape<int64_t>* const convolution[kConvInputs] = {&x, &w, &row, &row, &active, &none};
  GatedConvProblem whole;
  if (Error e = check(convolution_of(a), convolution, &whole)) return e;
  if (c_in % a.parts || c_out % a.parts)
    return Error::format("parts = %lld does not divide %lld input and %lld output channels; re-export the model",
                         ll(a.parts), ll(c_in), ll(c_out));
  if (Error e =
          require_shape(*in[kPixelBase], kPixelInputNames[kPixelBase], {c_out, c_in / a.parts, w.dims[2], w.dims[3]},
                        "channels out, channels of a part, kernel"))
    return e;
  for (PixelGatedConvInput i : {kPixelBound, kPixelScale, kPixelShift})
    if (Error e = require_shape(*in[i], kPixelInputNames[i], {c_out}, "channels out")) return e;
  p->whole = p->base = whole.shape;
  p->base.group = a.parts;
  p->batch = whole.batch;
  p->out_h = whole.out_h;
  p->out_w = whole.out_w;
  return {};
}

}  // namespace sanp
