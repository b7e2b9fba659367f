// Checks the attributes and the shapes of SanpInvertedResidual: those of its three gated convolutions, one by one.
#include "contract/inverted_residual.h"

#include <math.h>

#include "contract/gated_conv.h"

namespace sanp {
namespace {

GatedConvAttributes pointwise(const ClampBounds& act) {
  return {{1, 1}, {0, 0, 0, 0}, {1, 1}, 1, false, act.low, act.high};
}

GatedConvAttributes depthwise(const BlockAttributes& a) {
  GatedConvAttributes c = pointwise(a.depthwise);
  for (int i = 0; i < 2; ++i) c.strides[i] = a.strides[i], c.dilations[i] = a.dilations[i];
  for (int i = 0; i < 4; ++i) c.pads[i] = a.pads[i];
  c.group = a.group;
  return c;
}

// A closed channel is zero behind each of the two layers, so that the next one may leave it out.
Error check_keeps_zero(const char* layer, const ClampBounds& act) {
  if (act.low <= 0.0f && act.high >= 0.0f) return {};
  return Error::format(
      "attributes '%s_min' and '%s_max' are %g and %g; expected numbers with 0 between them, run the three layers one "
      "by one",
      layer, layer, static_cast<double>(act.low), static_cast<double>(act.high));
}

Error require_pointwise(const Shape<int64_t>& w, const char* name, int64_t channels_in, const char* what) {
  return require_shape(w, name, {w.dims[0], channels_in, 1, 1}, what);
}

}  // namespace

Error check(const BlockAttributes& a) noexcept {
  // Before the checks of a single layer, which would call these clamps act_min and act_max.
  if (Error e = check_keeps_zero("expand", a.expand)) return e;
  if (Error e = check_keeps_zero("depthwise", a.depthwise)) return e;
  if (Error e = check(depthwise(a))) return e;
  return check(pointwise(a.act));
}

Error check(const BlockAttributes& a, const Shape<int64_t>* const (&in)[kBlockInputs], BlockProblem* p) noexcept {
  const auto name = [](BlockInput i) { return kBlockInputNames[i]; };
  const Shape<int64_t>&x = *in[kBlockX], &expand = *in[kBlockExpand], &project = *in[kBlockProject];
  if (Error e = require_rank(x, name(kBlockX), 4, kMayBeEmpty)) return e;
  for (BlockInput i : {kBlockExpand, kBlockDepthwise, kBlockProject})
    if (Error e = require_rank(*in[i], name(i), 4)) return e;
  p->batch = x.dims[0];
  p->channels_in = x.dims[1];
  p->channels_out = project.dims[0];
  const int64_t channels = expand.dims[0];
  if (Error e = require_pointwise(expand, name(kBlockExpand), p->channels_in, "channels, channels of 'x', 1, 1"))
    return e;
  if (Error e = require_pointwise(project, name(kBlockProject), channels, "channels out, channels of 'w_expand', 1, 1"))
    return e;
  const Shape<int64_t>& w = *in[kBlockDepthwise];
  if (Error e = require_shape(w, name(kBlockDepthwise), {channels, 1, w.dims[2], w.dims[3]},
                              "channels of 'w_expand', 1, kernel"))
    return e;
  if (a.group != channels)
    return Error::format("attribute 'group' is %lld; expected the %lld channels of 'w_expand', re-export the model",
                         static_cast<long long>(a.group), static_cast<long long>(channels));
  // The depthwise layer alone, then the projection's ends.
  const Shape<int64_t> map = shape_of({p->batch, channels, x.dims[2], x.dims[3]}), none = shape_of({1});
  const Shape<int64_t> row = shape_of({1, channels});
  const Shape<int64_t>* const middle[kConvInputs] = {&map, &w, &row, &row, &row, &none};
  GatedConvProblem inner;
  if (Error e = check(depthwise(a), middle, &inner)) return e;
  p->depthwise = inner.shape;
  p->out_h = inner.out_h;
  p->out_w = inner.out_w;
  const Shape<int64_t> between = shape_of({p->batch, channels, p->out_h, p->out_w});
  const Shape<int64_t> row_project = shape_of({1, p->channels_out});  // the given rows are checked by their names below
  const Shape<int64_t>* const last[kConvInputs] = {&between,     &project, &row_project,
                                                   &row_project, &row,     in[kBlockResidual]};
  GatedConvProblem outer;
  if (Error e = check(pointwise(a.act), last, &outer)) return e;
  p->residual_is_map = outer.residual_is_map;
  const struct {
    BlockInput input;
    int64_t columns;
    const char* what;
    int64_t* step;
  } rows[] = {{kBlockScale, channels, "channel", &p->scale_step},
              {kBlockShift, channels, "channel", &p->shift_step},
              {kBlockInActive, p->channels_in, "input channel", &p->in_active_step},
              {kBlockScaleProject, p->channels_out, "output channel", &p->scale_project_step},
              {kBlockShiftProject, p->channels_out, "output channel", &p->shift_project_step}};
  for (const auto& r : rows)
    if (Error e = require_rows(*in[r.input], name(r.input), p->batch, r.columns, r.what, r.step)) return e;
  return require_shape(*in[kBlockBias], name(kBlockBias), {channels}, "channels of 'w_expand'");
}

}  // namespace sanp
