// Places the pixels and weights of one shape.
#include "cpu/int8/conv/int8_plan.h"

#include <string.h>

#include <algorithm>

namespace sanp {
namespace {

constexpr int64_t kAlias = 1024;  // planes a multiple of this apart meet in the same lines of the first-level cache

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

Int8Plan::Int8Plan(const ConvShape& s, const Int8Kernels& kernels) : shape(s), isa(&kernels) {
  s.output_size(&out_h, &out_w);
  pixels = out_h * out_w;
  n_taps = s.kernel_h * s.kernel_w;
  group_in = s.channels_in / s.group;
  group_out = s.channels_out / s.group;
  tap_channels = round_up(group_in, kQuad);
  row_step = round_up(n_taps * tap_channels, kInt8Slack);
  // Where pixels would leave most lanes empty, or a vector is all there is.
  dot = pixels <= kInt8DotMap && pixels <= kernels.lanes && s.height * s.width <= 64 * kInt8DotMap;
  place_planes();
  place_tiles();
  max_rows = dot ? kernels.dot_rows : kInt8MaxMr;
  for (const Tile& tile : tiles) max_rows = dot ? max_rows : std::min(max_rows, kernels.max_mr[tile.nr]);
}

void Int8Plan::place_planes() {
  const ConvShape& s = shape;
  // Planes of all rows of one phase serve every kernel row; far-apart taps of few outputs take a plane each.
  const int64_t phases = std::min(s.stride_y, s.kernel_h);
  const int64_t reach = out_h + (s.kernel_h - 1) * s.dilation_y / s.stride_y;
  const bool per_tap = phases * reach > s.kernel_h * out_h;
  direct = n_taps == 1 && s.stride_x == 1 && s.stride_y == 1 && s.pad_top == 0 && s.pad_left == 0 &&
           out_h == s.height && out_w == s.width;
  int64_t end = 0;
  std::vector<int64_t> residue_of;
  struct Place {
    size_t plane;
    int64_t down;  // rows below the first
  };
  std::vector<Place> places(static_cast<size_t>(n_taps));
  for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
    const size_t first = planes.size();
    for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
      const int64_t row = ky * s.dilation_y, residue = per_tap ? row : row % s.stride_y;
      const int64_t down = per_tap ? 0 : row / s.stride_y;
      size_t p = first;
      while (p < planes.size() && residue_of[p] != residue) ++p;
      if (p == planes.size()) {
        residue_of.push_back(residue);
        Int8Plane plane{};
        plane.row0 = residue - s.pad_top;
        plane.row_step = s.stride_y;
        plane.col0 = kx * s.dilation_x - s.pad_left;
        plane.col_step = s.stride_x;
        int64_t begin = 0, stop = out_w;
        if (plane.col0 < 0) begin = std::min(out_w, (-plane.col0 + s.stride_x - 1) / s.stride_x);
        stop = plane.col0 >= s.width ? begin : std::min(out_w, (s.width - 1 - plane.col0) / s.stride_x + 1);
        plane.col_begin = static_cast<int32_t>(begin);
        plane.col_end = static_cast<int32_t>(std::max(begin, stop));
        planes.push_back(plane);
      }
      planes[p].rows = std::max(planes[p].rows, static_cast<int32_t>(out_h + down));
      places[static_cast<size_t>(ky * s.kernel_w + kx)] = {p, down};
    }
  }
  for (Int8Plane& plane : planes) {
    plane.offset = end;
    end += round_up(plane.rows * out_w * kQuad, kInt8Slack);
  }
  for (const Place& place : places) taps.push_back(planes[place.plane].offset + place.down * out_w * kQuad);
  quad_step = end + kInt8Slack;
  if (quad_step % kAlias == 0) quad_step += kInt8Slack;
}

void Int8Plan::place_tiles() {
  const int64_t lanes = isa->lanes, vectors = (pixels + lanes - 1) / lanes;
  const int64_t n = (vectors + isa->max_nr - 1) / isa->max_nr;
  // Split evenly: 5 vectors of at most 4 are 3 + 2.
  for (int64_t t = 0; t < n; ++t) {
    const int64_t begin = vectors * t / n, end = vectors * (t + 1) / n;
    const int64_t last = std::min(pixels, end * lanes) - (end - 1) * lanes;
    tiles.push_back({begin * lanes, static_cast<int>(end - begin), static_cast<int>(last)});
  }
}

void Int8Plan::prepare(const int8_t* w, int8_t* out, int32_t* sums) const {
  memset(out, 0, weight_bytes());
  for (int64_t o = 0; o < shape.channels_out; ++o, out += row_step) {
    sums[o] = 0;
    for (int64_t i = 0; i < group_in; ++i)
      for (int64_t t = 0; t < n_taps; ++t) {
        sums[o] += *w;
        out[t * tap_channels + i] = *w++;
      }
  }
}

bool Int8Plan::compresses(int64_t active) const {
  return (tap_channels - quads(active) * kQuad) * pixels > isa->compress_cost * tap_channels;
}

}  // namespace sanp
