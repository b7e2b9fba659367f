// Takes an algorithm, lays it out, and decides how the weights are stored.
#include "cpu/conv/plan/plan.h"

#include "cpu/conv/plan/choose_algorithm.h"

namespace sanp {

Plan::Plan(const ConvShape& s, const IsaKernels& kernels, int winograd, std::optional<Algorithm> wish, bool copies)
    : Problem(s, kernels),
      algorithm(wish && allows(*wish, winograd, copies) ? *wish : choose_algorithm(*this, winograd, copies)) {
  lay_out();
}

Plan::Plan(const ConvShape& s, const IsaKernels& kernels, Algorithm wanted)
    : Problem(s, kernels), algorithm(possible(*this, wanted) ? wanted : Algorithm::kGather) {
  lay_out();
}

bool Plan::allows(Algorithm f, int winograd, bool copies) const {
  return winograd_tile(f) <= winograd && (copies || f != Algorithm::kChannels) && possible(*this, f);
}

void Plan::lay_out() {
  weights.cell_floats = n_taps;
  weights.row_floats = row_weights();
  switch (algorithm) {
    case Algorithm::kInPlace:
      layout.emplace<InPlacePlan>(*this);
      return;
    case Algorithm::kRows:
    case Algorithm::kColumns:
      layout.emplace<PlanesPlan>(*this, algorithm == Algorithm::kColumns);
      return;
    case Algorithm::kGather:
      layout.emplace<GatherPlan>(*this);
      return;
    case Algorithm::kDot:
      return;
    case Algorithm::kPixelPairs:
      layout.emplace<PairPlan>(*this);
      return;
    case Algorithm::kDepthwise:
      layout.emplace<DepthwisePlan>(*this);
      return;
    case Algorithm::kDepthwiseInPlace:
      layout.emplace<EdgePlan>(*this);
      return;
    case Algorithm::kChannels:
      layout.emplace<ChannelsPlan>(*this, choose_direct(*this));
      return;
    case Algorithm::kWinograd2:
    case Algorithm::kWinograd4:
      weights.cell_floats = 1;
      weights.row_floats = layout.emplace<WinogradPlan>(*this, winograd_tile(algorithm)).points() * group_in;
      return;
  }
}

bool Plan::has_kernels(WeightKind kind) const {
  const auto all = [&](const TilePlan& plan) {
    for (const Tile& tile : plan.tiles)
      if (isa->tile[kind][taps_kind][tile.nr][1] == nullptr) return false;
    return true;
  };
  if (const auto* in_place = std::get_if<InPlacePlan>(&layout)) return all(in_place->tiles);
  if (const auto* planes = std::get_if<PlanesPlan>(&layout)) return all(planes->tiles);
  if (const auto* gather = std::get_if<GatherPlan>(&layout)) return all(gather->tiles);
  if (std::get_if<PairPlan>(&layout)) return isa->pairs[kind][1] != nullptr;
  return algorithm == Algorithm::kDot;
}

bool Plan::store_bf16(bool always) {
  if (pixels > kBf16MaxPixels || !has_kernels(kBf16Weights)) return false;
  const int64_t most = always ? shape.channels_in : bf16_steps_that_gain(*this, algorithm);
  if (most == 0) return false;
  weights.kind = kBf16Weights;
  weights.bf16_steps = most;
  weights.row_floats =
      bf16_row(row_weights()) * static_cast<int64_t>(sizeof(Bf16)) / static_cast<int64_t>(sizeof(float));
  return true;
}

int64_t Plan::prepared_floats() const {
  if (const auto* channels = std::get_if<ChannelsPlan>(&layout)) return channels->vecs * isa->lanes * shape.channels_in;
  return prepared_kind() != kNotPrepared ? shape.channels_out * weights.row_floats : 0;
}

Prepared Plan::prepared_kind() const {
  if (algorithm == Algorithm::kChannels) return kPreparedChannels;
  if (algorithm == Algorithm::kWinograd2) return kPreparedWinograd2;
  if (algorithm == Algorithm::kWinograd4) return kPreparedWinograd4;
  return weights.kind == kBf16Weights ? kPreparedBf16 : kNotPrepared;
}

void Plan::prepare(const float* w, void* out) const {
  if (weights.kind == kBf16Weights) return bf16_rows(w, shape.channels_out, row_weights(), static_cast<Bf16*>(out));
  if (algorithm == Algorithm::kChannels) return channels_weights(*this, w, static_cast<float*>(out));
  winograd_weights(shape, winograd_tile(algorithm), w, static_cast<float*>(out));
}

}  // namespace sanp
