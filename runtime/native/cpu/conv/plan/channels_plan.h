// kChannels: tiles of pixels for lanes of output channels, and how samples with few open channels are computed instead.
#pragma once

#include <optional>

#include "cpu/conv/plan/algorithm.h"
#include "cpu/conv/plan/tile_plan.h"

namespace sanp {

struct ChannelsPlan {
  // few: kInPlace, kRows or kColumns, for samples with fewer open rows than least_rows.
  ChannelsPlan(const Problem& p, Algorithm few);

  int64_t tile_pixels;
  int64_t tiles;   // the last one may overlap the one before it
  int64_t vecs;    // of output channels
  int64_t blocks;  // of isa->channel_vecs vectors; the last may have fewer
  int64_t least_rows;
  std::vector<ptrdiff_t> at;  // multiples of the pixels, for each lane
  std::optional<InPlacePlan> in_place;
  std::optional<PlanesPlan> planes;

  int64_t first_pixel(int64_t tile, int64_t pixels) const {
    const int64_t at = tile * tile_pixels;
    return at + tile_pixels <= pixels ? at : pixels - tile_pixels;
  }
};

// Whether it is a 1x1 convolution without groups that fills a vector of output channels, and there are kernels.
bool channels_possible(const Problem& p);
// Open output channels from which on lanes of output channels pay.
int64_t channels_rows(const Problem& p);
// [block][channels in][lanes of the block] from OI, zero behind the last output channel.
void channels_weights(const Problem& p, const float* w, float* out);

}  // namespace sanp
