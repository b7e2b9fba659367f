// Runs a plan: packs the pixels of a sample, then multiplies them by blocks of open rows.
#include "cpu/int8/conv/int8_conv.h"

#include <string.h>

#include <algorithm>

#include "cpu/base/arena.h"
#include "cpu/int8/conv/group.h"

namespace sanp {
namespace {

constexpr int64_t kTaskWork = 500000;        // multiply-adds worth a task
constexpr int64_t kPackWork = 1 << 14;       // packed bytes worth a task
constexpr int64_t kBlockBytes = 192 * 1024;  // of compressed rows that wait for the next tile

size_t task_count(int64_t work, int64_t each, int64_t limit) {
  return static_cast<size_t>(std::max<int64_t>(1, std::min({work / each, limit, int64_t{64}})));
}

uint8_t* bytes_of(Arena& arena, int64_t n) { return static_cast<uint8_t*>(arena.get(static_cast<size_t>(n))); }

// The pixels of a group, packed by tasks, each of which takes some quads of channels.
class Pixels {
 public:
  explicit Pixels(const Int8Group& g) : g_(g), p_(g.plan), plane_(p_.shape.height * p_.shape.width) {
    quads_ = g.tap_step / kQuad;
    inputs_ = p_.inputs_step(g.tap_step);
  }

  int64_t bytes() const {
    return p_.dot ? plane_ * g_.tap_step + p_.pixels * inputs_ + 2 * kInt8Slack : quads_ * p_.quad_step + kInt8Slack;
  }
  const uint8_t* inputs() const { return packed_; }
  int64_t inputs_step() const { return inputs_; }

  // False when memory is short.
  bool pack(uint8_t* memory, const Pool& pool) {
    const size_t tasks = p_.dot ? 1 : task_count(quads_ * p_.quad_step, kPackWork, quads_);
    const bool ok = parallel_all(pool, tasks, [&](size_t index) {
      uint8_t* const zeros = bytes_of(block_arena(), plane_ + (plane_ + 2 * kInt8Slack) * kQuad + 2 * kInt8Slack);
      if (zeros == nullptr) return false;
      memset(zeros, g_.call.x_zero, static_cast<size_t>(plane_));
      uint32_t* const cells = reinterpret_cast<uint32_t*>(zeros + (plane_ + 63) / 64 * 64);
      const int64_t stop = share(quads_, index + 1, tasks);
      for (int64_t q = share(quads_, index, tasks); q < stop; ++q) pack_quad(q, zeros, cells, memory);
      return true;
    });
    if (p_.dot) gather(memory);
    packed_ = p_.dot ? memory + round(plane_ * g_.tap_step) : memory;
    return ok;
  }

 private:
  static int64_t round(int64_t n) { return (n + kInt8Slack - 1) / kInt8Slack * kInt8Slack; }

  void pack_quad(int64_t q, const uint8_t* zeros, uint32_t* cells, uint8_t* memory) const {
    const uint8_t* channels[kQuad];
    for (int j = 0; j < kQuad; ++j) channels[j] = g_.channel(q * kQuad + j, zeros);
    if (p_.dot) {
      p_.isa->pack_inputs(channels, plane_, cells, memory + q * kQuad, g_.tap_step);
      return;
    }
    const Int8Planes planes{p_.planes.data(),
                            static_cast<int32_t>(p_.planes.size()),
                            static_cast<int32_t>(p_.out_w),
                            p_.shape.height,
                            p_.shape.width,
                            p_.direct};
    p_.isa->pack_quad(planes, channels, static_cast<uint8_t>(g_.call.x_zero), cells, memory + q * p_.quad_step);
  }

  // From the channels of every input pixel to those of every tap of every output pixel.
  void gather(uint8_t* memory) const {
    const ConvShape& s = p_.shape;
    const size_t step = static_cast<size_t>(g_.tap_step);
    const int fill = g_.call.x_zero ^ p_.isa->flip;
    uint8_t* row = memory + round(plane_ * g_.tap_step);
    for (int64_t p = 0; p < p_.pixels; ++p, row += inputs_) {
      const int64_t top = p / p_.out_w * s.stride_y - s.pad_top, left = p % p_.out_w * s.stride_x - s.pad_left;
      uint8_t* to = row;
      for (int64_t ky = 0; ky < s.kernel_h; ++ky)
        for (int64_t kx = 0; kx < s.kernel_w; ++kx, to += step) {
          const int64_t y = top + ky * s.dilation_y, x = left + kx * s.dilation_x;
          if (y < 0 || y >= s.height || x < 0 || x >= s.width)
            memset(to, fill, step);
          else
            memcpy(to, memory + (y * s.width + x) * g_.tap_step, step);
        }
      memset(to, 0, static_cast<size_t>(row + inputs_ - to));
    }
  }

  const Int8Group& g_;
  const Int8Plan& p_;
  int64_t plane_, quads_, inputs_;
  const uint8_t* packed_ = nullptr;
};

// Part `index` of `count` of the weights of open rows [first, last), to be fetched ahead.
Int8Ahead ahead_of(const Int8Group& g, int32_t first, int32_t last, size_t index, size_t count) {
  const int32_t n = last - first, from = share(n, index, count);
  return {g.w + first + from, share(n, index + 1, count) - from, g.plan.n_taps * g.plan.tap_channels};
}

// Open rows [m, m + rows) times one tile of pixels; rows [m + rows, next) come after them.
void multiply_tile(const Int8Group& g, const uint8_t* pixels, const Int8Plan::Tile& tile, int32_t m, int rows,
                   int32_t next) {
  const Int8Plan& p = g.plan;
  Int8TileCall c{};
  c.x = pixels + tile.first * kQuad;
  c.quad_step = p.quad_step;
  c.quads = static_cast<int32_t>(g.tap_step / kQuad);
  c.n_taps = static_cast<int32_t>(p.n_taps);
  c.taps = p.taps.data();
  c.w = g.w + m;
  c.at = tile.first;
  c.last = tile.last;
  c.end = g.end.from(m);
  c.ahead = ahead_of(g, m + rows, next, 0, 1);
  p.isa->tile[tile.nr][rows](c);
}

// The same with all pixels of a small map.
void multiply_inputs(const Int8Group& g, const Pixels& pixels, int32_t m, int rows, int32_t next) {
  const Int8Plan& p = g.plan;
  alignas(64) int32_t sums[kInt8MaxDotRows * kInt8DotMap];
  Int8DotCall c{};
  c.x_step = c.length = pixels.inputs_step();
  c.w = g.w + m;
  const size_t parts = static_cast<size_t>((p.pixels + p.isa->dot_pixels - 1) / p.isa->dot_pixels);
  size_t part = 0;
  for (int64_t at = 0; at < p.pixels; at += p.isa->dot_pixels, ++part) {
    const int64_t n = std::min<int64_t>(p.isa->dot_pixels, p.pixels - at);
    c.x = pixels.inputs() + at * c.x_step;
    c.sums = sums + at;
    c.ahead = ahead_of(g, m + rows, next, part, parts);
    p.isa->dot[n][rows](c);
  }
  p.isa->finish_sums(g.end.from(m), rows, sums, static_cast<int>(p.pixels));
}

// Blocks [first, last) of n blocks of open rows: compressed a few at a time, as many as wait for the next tile.
bool multiply_blocks(const Int8Group& g, const Pixels& pixels, int32_t first, int32_t last, int32_t n) {
  const Int8Plan& p = g.plan;
  const int64_t step = p.inputs_step(g.tap_step);
  const bool one_tile = p.dot || p.tiles.size() == 1;
  const int64_t fits = std::max<int64_t>(1, kBlockBytes / (std::max<int64_t>(step, 1) * p.max_rows));
  const int32_t together = one_tile ? 1 : static_cast<int32_t>(std::min<int64_t>(fits, last - first));
  const auto row = [&](int32_t block) { return share(g.n_open, static_cast<size_t>(block), static_cast<size_t>(n)); };
  const auto after = [&](int32_t block) { return block + 1 < last ? row(block + 2) : row(block + 1); };
  int8_t* memory = nullptr;
  if (g.compress) {
    memory = reinterpret_cast<int8_t*>(bytes_of(block_arena(), together * p.max_rows * step + kInt8Slack));
    if (memory == nullptr) return false;
  }
  for (int32_t b = first; b < last; b += together) {
    const int32_t stop = std::min(b + together, last);
    if (g.compress) g.compress_rows(row(b), row(stop), memory);
    if (p.dot) {
      for (int32_t k = b; k < stop; ++k) multiply_inputs(g, pixels, row(k), row(k + 1) - row(k), after(k));
      continue;
    }
    for (const Int8Plan::Tile& tile : p.tiles)
      for (int32_t k = b; k < stop; ++k) {
        // Weights of a map of several tiles are in the cache from the second tile on.
        const int32_t next = one_tile ? after(k) : row(k + 1);
        multiply_tile(g, pixels.inputs(), tile, row(k), row(k + 1) - row(k), next);
      }
  }
  return true;
}

bool run_group(const Int8Plan& p, const Int8Call& c, int64_t n, int64_t group, const Pool& pool) {
  void* const memory = list_arena().get(Int8Group::bytes(p));
  if (memory == nullptr) return false;
  const Int8Group g(p, c, n, group, memory);
  if (g.n_open == 0) {
    g.fill_closed(0, 1);
    return true;
  }
  Pixels pixels(g);
  uint8_t* const packed = bytes_of(pixel_arena(), pixels.bytes());
  if (packed == nullptr || !pixels.pack(packed, pool)) return false;
  const int32_t blocks = (g.n_open + p.max_rows - 1) / p.max_rows;
  const size_t tasks = task_count(g.n_open * p.n_taps * g.tap_step * p.pixels, kTaskWork, blocks);
  return parallel_all(pool, tasks, [&](size_t index) {
    g.fill_closed(index, tasks);
    return multiply_blocks(g, pixels, share(blocks, index, tasks), share(blocks, index + 1, tasks), blocks);
  });
}

bool run_sample(const Int8Plan& p, const Int8Call& c, int64_t n, const Pool& pool) {
  if (p.shape.group == 1) return run_group(p, c, n, 0, pool);
  // A task takes whole groups, packing included.
  const int64_t groups = p.shape.group;
  const size_t tasks = task_count(p.shape.channels_out * p.n_taps * p.tap_channels * p.pixels, kTaskWork, groups);
  return parallel_all(pool, tasks, [&](size_t index) {
    const Pool here{nullptr, nullptr};
    const int64_t stop = share(groups, index + 1, tasks);
    for (int64_t g = share(groups, index, tasks); g < stop; ++g)
      if (!run_group(p, c, n, g, here)) return false;
    return true;
  });
}

}  // namespace

bool run_int8_conv(const Int8Plan& plan, const Int8Call& call, const Pool& pool) {
  return each_sample(call.batch, pool, [&](int64_t n, const Pool& own) { return run_sample(plan, call, n, own); });
}

}  // namespace sanp
