// Checks the arguments of SanpGatedConv.
#include "ort/common/gated_conv_args.h"

#include "ort/common/attributes.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

void check_attributes(const GatedConvAttributes& a) {
  for (int i = 0; i < 2; ++i) {
    if (a.strides[i] < 1)
      fail("attribute 'strides' is [%lld, %lld]; each must be at least 1, re-export the model", ll(a.strides[0]),
           ll(a.strides[1]));
    if (a.dilations[i] < 1)
      fail("attribute 'dilations' is [%lld, %lld]; each must be at least 1, re-export the model", ll(a.dilations[0]),
           ll(a.dilations[1]));
  }
  for (int64_t pad : a.pads)
    if (pad < 0)
      fail("attribute 'pads' is %s; each must be 0 or more, crop with Slice instead", shape_text(a.pads, 4).c_str());
  if (a.group < 1) fail("attribute 'group' is %lld; it must be at least 1, re-export the model", ll(a.group));
}

ConvShape conv_shape(const GatedConvAttributes& a, const TensorView& x, const TensorView& w) {
  ConvShape s{};
  s.channels_in = x.dims[1];
  s.height = x.dims[2];
  s.width = x.dims[3];
  s.channels_out = w.dims[0];
  s.kernel_h = w.dims[2];
  s.kernel_w = w.dims[3];
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

ConvShape checked_shape(const GatedConvAttributes& a, const TensorView& x, const TensorView& w, int64_t out[2]) {
  require_rank(x, 4, 0);
  require_rank(w, 4, -1);
  const ConvShape s = conv_shape(a, x, w);
  if (s.channels_in % s.group || s.channels_out % s.group)
    fail("group = %lld does not divide %lld input and %lld output channels; re-export the model", ll(s.group),
         ll(s.channels_in), ll(s.channels_out));
  if (w.dims[1] != s.channels_in / s.group)
    fail(
        "input 'w' has shape %s; expected %lld input channels per group (x has %lld channels, group = %lld), pass the "
        "weights of this layer",
        w.shape().c_str(), ll(s.channels_in / s.group), ll(s.channels_in), ll(s.group));
  if (!s.output_size(&out[0], &out[1]))
    fail(
        "a kernel of %lld x %lld (dilations %lld, %lld) does not fit input 'x' of shape %s with pads %s, or the result "
        "exceeds 2^31 elements per channel; check pads and the input size",
        ll(s.kernel_h), ll(s.kernel_w), ll(s.dilation_y), ll(s.dilation_x), x.shape().c_str(),
        shape_text(a.pads, 4).c_str());
  return s;
}

}  // namespace

GatedConvAttributes gated_conv_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  GatedConvAttributes a{};
  read_ints(api, info, "strides", a.strides, 2);
  read_ints(api, info, "pads", a.pads, 4);
  read_ints(api, info, "dilations", a.dilations, 2);
  a.group = read_int(api, info, "group");
  a.act_min = read_float(api, info, "act_min");
  a.act_max = read_float(api, info, "act_max");
  check_attributes(a);
  return a;
}

GatedConvArguments gated_conv_arguments(const OrtApi* api, const OrtKernelContext* context,
                                        const GatedConvAttributes& attributes, const ConstantInputs* constants) {
  GatedConvArguments a{};
  a.x = input_tensor(api, context, 0, "x", constants);
  a.w = input_tensor(api, context, 1, "w", constants);
  a.scale = input_tensor(api, context, 2, "scale", constants);
  a.shift = input_tensor(api, context, 3, "shift", constants);
  a.in_active = input_tensor(api, context, 4, "in_active", constants);
  a.residual = input_tensor(api, context, 5, "residual", constants);

  a.shape = checked_shape(attributes, a.x, a.w, &a.out[2]);
  a.out[0] = a.x.dims[0];
  a.out[1] = a.shape.channels_out;
  a.scale_step = require_rows(a.scale, a.batch(), a.shape.channels_out, "output channel");
  a.shift_step = require_rows(a.shift, a.batch(), a.shape.channels_out, "output channel");
  a.in_active_step = require_rows(a.in_active, a.batch(), a.shape.channels_in, "input channel");
  bool same = a.residual.rank == 4;
  for (size_t i = 0; same && i < 4; ++i) same = a.residual.dims[i] == a.out[i];
  if (!same && a.residual.elements() != 1)
    fail("input 'residual' has shape %s; expected the output shape %s or one element, pass 0 for none",
         a.residual.shape().c_str(), shape_text(a.out, 4).c_str());
  a.residual_is_map = same && a.residual.elements() != 1;

  int64_t elements = 1;
  for (int64_t d : a.out)
    if (__builtin_mul_overflow(elements, d, &elements) || elements > (int64_t{1} << 40))
      fail("the output of shape %s is too large; check pads and strides", shape_text(a.out, 4).c_str());
  return a;
}

}  // namespace sanp
