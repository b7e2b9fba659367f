// Lists the open channels of a sample, and turns the weights of sixteen of them.
#include "cpu/block/open_channels.h"

#include "cpu/base/carver.h"

namespace sanp {
namespace {

// Turning sixteen rows costs as much as this many pixels of the expansion: what it reads it uses once.
constexpr int64_t kTurnPixels = 8;

int64_t packs_of(int64_t lanes) { return (lanes + kPackLanes - 1) / kPackLanes; }

}  // namespace

size_t OpenChannels::bytes(const BlockPlan& plan) {
  const size_t lanes = static_cast<size_t>(packs_of(plan.channels) * kPackLanes);
  return (static_cast<size_t>(plan.channels_in) + 1) * sizeof(Step) +
         lanes * (sizeof(Step) + 2 * sizeof(int32_t) + 2 * sizeof(float)) + 10 * 64;
}

OpenChannels::OpenChannels(const BlockPlan& plan, const BlockCall& call, int64_t n, void* memory)
    : plan_(plan), call_(call) {
  const int64_t channels = plan.channels, most = packs_of(channels) * kPackLanes;
  Carver c{static_cast<char*>(memory)};
  inputs = c.take<Step>(plan.channels_in + 1);
  steps = c.take<Step>(most);
  lane_ = c.take<int32_t>(most + 1);  // entries are written always and counted when open
  open_lane_ = c.take<int32_t>(most + 1);
  scale_ = c.take<float>(most);
  shift_ = c.take<float>(most);
  const float* const active = call.in_active + n * call.in_active_step;
  n_inputs = 0;
  for (int64_t i = 0; i < plan.channels_in; ++i) {
    inputs[n_inputs] = {static_cast<int32_t>(i), static_cast<int32_t>(i)};
    n_inputs += active[i] != 0.0f;
  }
  const float* const scale = call.scale + n * call.scale_step;
  const float* const shift = call.shift + n * call.shift_step;
  n_steps = 0;
  int64_t touched = 0;  // packs with an open channel, if every channel were in one
  for (int64_t first = 0; first < channels; first += kPackLanes) {
    const int64_t before = n_steps, end = first + kPackLanes < channels ? first + kPackLanes : channels;
    for (int64_t i = first; i < end; ++i) {
      lane_[n_steps] = static_cast<int32_t>(i);
      n_steps += scale[i] != 0.0f;
    }
    touched += n_steps > before;
  }
  const int64_t pixels = plan.in_pixels();
  const bool packed = packs_of(n_steps) * (pixels + kTurnPixels) < touched * pixels || n_steps == channels;
  if (packed) {
    lanes_ = n_steps;
    for (int64_t j = 0; j < lanes_; ++j) open_lane_[j] = static_cast<int32_t>(j);
  } else {
    // Every channel of a pack that has an open one.
    int64_t open = 0;
    lanes_ = 0;
    for (int64_t first = 0; first < channels; first += kPackLanes) {
      const int64_t end = first + kPackLanes < channels ? first + kPackLanes : channels, before = open;
      for (int64_t i = first; i < end; ++i) {
        open_lane_[open] = static_cast<int32_t>(lanes_ + i - first);
        open += scale[i] != 0.0f;
      }
      if (open == before) continue;
      for (int64_t i = first; i < end; ++i) lane_[lanes_++] = static_cast<int32_t>(i);
    }
  }
  packs = packs_of(lanes_);
  for (int64_t j = lanes_; j < packs * kPackLanes; ++j) lane_[j] = lane_[lanes_ - 1];
  for (int64_t j = 0; j < packs * kPackLanes; ++j) {
    scale_[j] = scale[lane_[j]];
    shift_[j] = shift[lane_[j]];
  }
}

void OpenChannels::list_steps(int64_t pixels) const {
  for (int64_t j = 0; j < n_steps; ++j) {
    const int32_t lane = open_lane_[j], pack = lane / kPackLanes;
    steps[j] = {static_cast<int32_t>(pack * pixels * kPackLanes + lane % kPackLanes), lane_[lane]};
  }
}

// Nobody reads the lanes behind the last channel, so any weights may stand there.
bool OpenChannels::stored(int64_t b) const {
  const int32_t* const lane = lane_ + b * kPackLanes;
  const int64_t used = lanes_ - b * kPackLanes;
  bool same = lane[0] % kPackLanes == 0;
  for (int64_t j = 1; same && j < kPackLanes && j < used; ++j) same = lane[j] == lane[0] + j;
  return same;
}

FetchRows OpenChannels::fetched(int64_t b, const PreparedBlock& weights, const float** row) const {
  const int32_t* const lane = lane_ + b * kPackLanes;
  const bool in_order = stored(b);
  const float* const from = in_order ? weights.expand : call_.weights.expand;
  const float* const records = in_order ? weights.turned : weights.records;
  for (int j = 0; j < kPackLanes; ++j) {
    const int64_t channel = in_order ? lane[0] + j : lane[j];
    row[j] = from + channel * plan_.channels_in;
    for (int64_t i = 0; i < plan_.record; i += kPackLanes) fetch(records + channel * plan_.record + i, 0);
  }
  return {row, kPackLanes, static_cast<int32_t>((plan_.channels_in + kPackLanes - 1) / kPackLanes), 1};
}

OpenPack OpenChannels::pack(int64_t b, const PreparedBlock& weights, float* own, bool turn, FetchRows* next) const {
  const int32_t* const lane = lane_ + b * kPackLanes;
  OpenPack pack{own, own + plan_.channels_in * kPackLanes, scale_ + b * kPackLanes, shift_ + b * kPackLanes};
  if (stored(b)) {
    pack.expand = weights.expand + lane[0] * plan_.channels_in;
    pack.record = weights.turned + lane[0] * plan_.record;
  } else if (turn) {
    ptrdiff_t at[kPackLanes];
    for (int j = 0; j < kPackLanes; ++j) at[j] = lane[j] * plan_.channels_in;
    // The other half while the pack is multiplied, which takes as long as turning where there are few pixels.
    const int32_t half = next->count / 2;
    plan_.isa->block.turn_rows(call_.weights.expand, at, plan_.channels_in, own, {next->rows, half, next->lines, 1});
    *next = {next->rows + half, next->count - half, next->lines, 2};
    for (int j = 0; j < kPackLanes; ++j) at[j] = lane[j] * plan_.record;
    plan_.isa->block.turn_rows(weights.records, at, plan_.record, own + plan_.channels_in * kPackLanes, FetchRows{});
  }
  return pack;
}

}  // namespace sanp
