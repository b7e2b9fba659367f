// Checks the inputs of SanpGatedQLinearConv.
#include "contract/gated_qlinear_conv.h"

#include <float.h>

namespace sanp {

Error check(const GatedConvAttributes& a, const Shape<int64_t>* const (&in)[kQConvInputs],
            GatedConvProblem* p) noexcept {
  const Shape<int64_t>* const shared[kConvInputs] = {in[kQConvX],     in[kQConvW],        in[kQConvScale],
                                                     in[kQConvShift], in[kQConvInActive], in[kQConvResidual]};
  if (Error e = check(a, shared, p)) return e;
  for (GatedQLinearConvInput i :
       {kQConvXScale, kQConvXZeroPoint, kQConvResidualScale, kQConvResidualZeroPoint, kQConvYScale, kQConvYZeroPoint})
    if (!is_one_element(*in[i]))
      return Error::format("input '%s' has shape %s; expected one element, quantise activations per tensor",
                           kQConvInputNames[i], ShapeText(*in[i]).text);
  if (!equal(*in[kQConvWScale], {p->shape.channels_out}))
    return Error::format("input 'w_scale' has shape %s; expected [%lld], one step per output channel",
                         ShapeText(*in[kQConvWScale]).text, static_cast<long long>(p->shape.channels_out));
  const ConvShape& s = p->shape;
  const int64_t products = s.channels_in / s.group * s.kernel_h * s.kernel_w;
  if (products <= kMaxInt8Products) return {};
  return Error::format("a sum of %lld products may leave 32 bits; expected at most %lld, keep this layer in float32",
                       static_cast<long long>(products), static_cast<long long>(kMaxInt8Products));
}

Error check_step(const char* name, float step) noexcept {
  if (step > 0.0f && step <= FLT_MAX) return {};
  return Error::format("input '%s' is %g; expected a positive finite number, quantise the model again", name,
                       static_cast<double>(step));
}

}  // namespace sanp
