// Checks the attributes and the shapes of SanpGatedConv.
#include "contract/gated_conv.h"

namespace sanp {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;  // of the output

long long ll(int64_t v) { return static_cast<long long>(v); }

Error check_pair(const char* name, const int64_t (&values)[2]) {
  if (values[0] >= 1 && values[1] >= 1) return {};
  return Error::format("attribute '%s' is [%lld, %lld]; each must be at least 1, re-export the model", name,
                       ll(values[0]), ll(values[1]));
}

ShapeText pads_text(const GatedConvAttributes& a) { return {a.pads[0], a.pads[1], a.pads[2], a.pads[3]}; }

ConvShape conv_shape(const GatedConvAttributes& a, const Shape<int64_t>& x, const Shape<int64_t>& w) {
  ConvShape s{};
  s.channels_in = x.dims[1];
  s.height = x.dims[2];
  s.width = x.dims[3];
  s.channels_out = w.dims[a.hwio ? 3 : 0];
  s.kernel_h = w.dims[a.hwio ? 0 : 2];
  s.kernel_w = w.dims[a.hwio ? 1 : 3];
  // Any stride past the padded input gives one output; the largest extent stands for all of them.
  s.stride_y = a.strides[0] < kMaxExtent ? a.strides[0] : kMaxExtent;
  s.stride_x = a.strides[1] < kMaxExtent ? a.strides[1] : kMaxExtent;
  s.pad_top = a.pads[0];
  s.pad_left = a.pads[1];
  s.pad_bottom = a.pads[2];
  s.pad_right = a.pads[3];
  s.dilation_y = a.dilations[0];
  s.dilation_x = a.dilations[1];
  s.group = a.group;
  return s;
}

Error check_channels(const ConvShape& s, const Shape<int64_t>& w, int64_t channels_of_w) {
  if (s.channels_in % s.group || s.channels_out % s.group)
    return Error::format("group = %lld does not divide %lld input and %lld output channels; re-export the model",
                         ll(s.group), ll(s.channels_in), ll(s.channels_out));
  if (channels_of_w == s.channels_in / s.group) return {};
  return Error::format(
      "input 'w' has shape %s; expected %lld input channels per group (x has %lld channels, group = %lld), pass the "
      "weights of this layer",
      ShapeText(w).text, ll(s.channels_in / s.group), ll(s.channels_in), ll(s.group));
}

Error check_residual(const Shape<int64_t>& residual, GatedConvProblem* p) {
  const bool same = equal(residual, {p->batch, p->shape.channels_out, p->out_h, p->out_w});
  const bool one = is_one_element(residual);
  p->residual_is_map = same && !one;
  if (same || one) return {};
  return Error::format("input 'residual' has shape %s; expected the output shape %s or one element, pass 0 for none",
                       ShapeText(residual).text, ShapeText{p->batch, p->shape.channels_out, p->out_h, p->out_w}.text);
}

}  // namespace

Error check(const GatedConvAttributes& a) noexcept {
  if (Error e = check_pair("strides", a.strides)) return e;
  if (Error e = check_pair("dilations", a.dilations)) return e;
  for (int64_t pad : a.pads)
    if (pad < 0)
      return Error::format("attribute 'pads' is %s; each must be 0 or more, crop with Slice instead",
                           pads_text(a).text);
  if (a.group < 1)
    return Error::format("attribute 'group' is %lld; it must be at least 1, re-export the model", ll(a.group));
  // Also false for NaN.
  if (!(a.act_min <= a.act_max))
    return Error::format(
        "attributes 'act_min' and 'act_max' are %g and %g; expected two numbers, the first not above the second, "
        "re-export the model",
        static_cast<double>(a.act_min), static_cast<double>(a.act_max));
  return {};
}

Error check(const GatedConvAttributes& a, const Shape<int64_t>* const (&in)[kConvInputs],
            GatedConvProblem* p) noexcept {
  const Shape<int64_t>&x = *in[kConvX], &w = *in[kConvW];
  if (Error e = require_rank(x, kConvInputNames[kConvX], 4, kMayBeEmpty)) return e;
  if (Error e = require_rank(w, kConvInputNames[kConvW], 4)) return e;
  p->batch = x.dims[0];
  p->shape = conv_shape(a, x, w);
  const ConvShape& s = p->shape;
  if (Error e = check_channels(s, w, w.dims[a.hwio ? 2 : 1])) return e;
  if (!s.output_size(&p->out_h, &p->out_w))
    return Error::format(
        "a kernel of %lld x %lld (dilations %lld, %lld) does not fit input 'x' of shape %s with pads %s, or the result "
        "exceeds 2^31 elements per channel; check pads and the input size",
        ll(s.kernel_h), ll(s.kernel_w), ll(s.dilation_y), ll(s.dilation_x), ShapeText(x).text, pads_text(a).text);
  const struct {
    GatedConvInput input;
    int64_t columns;
    const char* what;
    int64_t* step;
  } rows[] = {{kConvScale, s.channels_out, "output channel", &p->scale_step},
              {kConvShift, s.channels_out, "output channel", &p->shift_step},
              {kConvInActive, s.channels_in, "input channel", &p->in_active_step}};
  for (const auto& r : rows)
    if (Error e = require_rows(*in[r.input], kConvInputNames[r.input], p->batch, r.columns, r.what, r.step)) return e;
  if (Error e = check_residual(*in[kConvResidual], p)) return e;
  int64_t elements = 1;
  for (int64_t d : {p->batch, s.channels_out, p->out_h, p->out_w})
    if (__builtin_mul_overflow(elements, d, &elements) || elements > kMaxElements)
      return Error::format("the output of shape %s is too large; check pads and strides",
                           ShapeText{p->batch, s.channels_out, p->out_h, p->out_w}.text);
  return {};
}

}  // namespace sanp
