// Cuts the pixels of kChannels into tiles, and turns its weights.
#include "cpu/conv/plan/channels_plan.h"

namespace sanp {
namespace {

// Starting and storing a tile of pixels, in pixels.
constexpr int64_t kTilePixels = 2;

// What lanes of pixels lose besides empty lanes: copying them, and weights that are read once a row. In percent.
constexpr int64_t kPixelLanes = 105;

int64_t best_tile(const Problem& p) {
  int64_t best = kLeastChannelPixels;
  auto cost = [&](int64_t n) { return ceil_div(p.pixels, n) * (n + kTilePixels); };
  for (int64_t n = best; n <= p.isa->channel_pixels && n <= p.pixels; ++n)
    if (cost(n) <= cost(best)) best = n;
  return best;
}

int64_t output_vecs(const Problem& p) { return ceil_div(p.shape.channels_out, p.isa->lanes); }

}  // namespace

ChannelsPlan::ChannelsPlan(const Problem& p, Algorithm few)
    : tile_pixels(best_tile(p)),
      tiles(ceil_div(p.pixels, tile_pixels)),
      vecs(output_vecs(p)),
      blocks(ceil_div(vecs, p.isa->channel_vecs)),
      least_rows(channels_rows(p)) {
  for (int64_t j = 0; j < p.isa->lanes; ++j) at.push_back(j * p.pixels);
  if (few == Algorithm::kInPlace)
    in_place.emplace(p);
  else
    planes.emplace(p, few == Algorithm::kColumns);
}

bool channels_possible(const Problem& p) {
  return p.isa->channel_pixels > 0 && p.shape.group == 1 && p.shape.channels_out >= p.isa->lanes &&
         p.pixels > kDotMaxPixels;
}

int64_t channels_rows(const Problem& p) {
  const int64_t tile = best_tile(p), cost = output_vecs(p) * ceil_div(p.pixels, tile) * (tile + kTilePixels);
  return ceil_div(cost * 100, p.packed_vecs() * kPixelLanes);
}

void channels_weights(const Problem& p, const float* w, float* out) {
  const int64_t vecs = output_vecs(p), lanes = p.isa->lanes, inputs = p.shape.channels_in;
  const int64_t most = p.isa->channel_vecs;
  for (int64_t first = 0; first < vecs; first += most) {
    const int64_t width = (vecs - first < most ? vecs - first : most) * lanes;
    for (int64_t i = 0; i < inputs; ++i)
      for (int64_t j = 0; j < width; ++j, ++out) {
        const int64_t o = first * lanes + j;
        *out = o < p.shape.channels_out ? w[o * inputs + i] : 0.0f;
      }
  }
}

}  // namespace sanp
