// The open channels of one sample of a fused block in packs of sixteen, and their weights.
#pragma once

#include "cpu/block/block.h"

namespace sanp {

// A pack: weights and numbers of sixteen channels, with a lane for each.
struct OpenPack {
  const float* expand;  // [channels in][kPackLanes]
  const float* record;  // [record][kPackLanes]
  const float *scale, *shift;
};

class OpenChannels {
 public:
  static size_t bytes(const BlockPlan& plan);
  // Lists sample n in `memory` (`bytes` large, 64-byte aligned).
  OpenChannels(const BlockPlan& plan, const BlockCall& call, int64_t n, void* memory);

  // The steps of the projection, where a pack has this many pixels between the layers.
  void list_steps(int64_t pixels) const;
  // Pack b. Weights that are not stored as they are needed are turned into `own`, (channels in + record) lanes, or
  // were turned there before. `next` is fetched meanwhile, and holds afterwards what is left to fetch.
  OpenPack pack(int64_t b, const PreparedBlock& weights, float* own, bool turn, FetchRows* next) const;
  // Fetches the taps of pack b, and tells what else is to be fetched for it: the sixteen rows of weights from which it
  // is turned, or as many parts of it as it is stored.
  FetchRows fetched(int64_t b, const PreparedBlock& weights, const float** row) const;

  int64_t packs;
  int64_t n_inputs, n_steps;
  Step* inputs;  // open input channels
  Step* steps;   // open channels, as inputs of the projection

 private:
  bool stored(int64_t b) const;

  const BlockPlan& plan_;
  const BlockCall& call_;
  int32_t* lane_;       // channel of each lane; the last one again where a pack has none
  int32_t* open_lane_;  // lanes of the open channels
  int64_t lanes_;       // in use
  float *scale_, *shift_;
};

}  // namespace sanp
