// Checks the attributes and the shapes of SanpChannelGate.
#include "contract/channel_gate.h"

namespace sanp {
namespace {

long long ll(int64_t v) { return static_cast<long long>(v); }

// One number in place of a matrix or vector: there is no hidden layer.
bool is_absent(const Shape<int64_t>& shape) { return shape.rank == 1 && shape.dims[0] == 1; }

}  // namespace

Error check(const ChannelGateAttributes& a) noexcept {
  if (a.threshold != a.threshold)
    return Error::format("attribute 'threshold' is NaN; expected a number, re-export the model");
  if (a.k >= 0) return {};
  return Error::format("attribute 'k' is %lld; expected 0 (off) or the number of channels to keep, re-export the model",
                       ll(a.k));
}

Error check_threshold(const Shape<int64_t>& threshold) noexcept {
  if (is_one_element(threshold)) return {};
  return Error::format("input '%s' has shape %s; expected one element for all gates of the layer, pass one number",
                       kGateThresholdName, ShapeText(threshold).text);
}

Error check(const ChannelGateAttributes& a, const Shape<int64_t>* const (&in)[kGateInputs],
            ChannelGateProblem* p) noexcept {
  const bool direct = is_absent(*in[kGateW1]);
  const bool has_offset = in[kGateBias]->rank == 2;
  const struct {
    ChannelGateInput input;
    int32_t rank;
    bool may_be_empty;
  } ranks[] = {{kGateX, 4, kMayBeEmpty}, {kGateW1, direct ? 1 : 2, false}, {kGateW2, 2, false}};
  for (const auto& r : ranks)
    if (Error e = require_rank(*in[r.input], kGateInputNames[r.input], r.rank, r.may_be_empty)) return e;
  const int64_t* const x = in[kGateX]->dims;
  const int64_t hidden = direct ? 0 : in[kGateW1]->dims[0];
  *p = {x[0], x[1], x[2], x[3], hidden, in[kGateW2]->dims[0], 0, has_offset};
  const auto require = [&](ChannelGateInput i, std::initializer_list<int64_t> dims, const char* what) {
    return require_shape(*in[i], kGateInputNames[i], dims, what);
  };
  if (direct) {
    if (Error e = require(kGateB1, {1}, "one number, as w1 is one")) return e;
    if (Error e = require(kGateW2, {p->outputs, p->channels}, "gates, channels of x")) return e;
  } else {
    if (Error e = require(kGateW1, {p->hidden, p->channels}, "hidden units, channels of x")) return e;
    if (Error e = require(kGateB1, {p->hidden}, "hidden units of w1")) return e;
    if (Error e = require(kGateW2, {p->outputs, p->hidden}, "gates, hidden units of w1")) return e;
  }
  if (Error e = require(kGateB2, {p->outputs}, "gates of w2")) return e;
  if (has_offset) {
    if (Error e = require(kGateBias, {2, p->outputs}, "bias and offset, gates of w2")) return e;
  } else {
    if (Error e = require(kGateBias, {p->outputs}, "gates of w2")) return e;
  }
  if (a.k >= p->outputs)
    return Error::format(
        "attribute 'k' is %lld but there are %lld gates; expected 0 <= k < %lld, re-export with k = 0 to keep all",
        ll(a.k), ll(p->outputs), ll(p->outputs));
  return require_rows(*in[kGateMask], kGateInputNames[kGateMask], p->batch, p->outputs, "gate", &p->mask_step);
}

}  // namespace sanp
