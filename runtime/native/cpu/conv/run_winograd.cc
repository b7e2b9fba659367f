// The Winograd algorithm: transform the active input channels, multiply at every point, transform the open rows back.
#include <algorithm>

#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// Floats of transformed input made before they are multiplied, if one block is not more: they are read once per block
// of rows, from a second-level cache. Twice as many, and so half of the waits, made no difference on Zen 3.
constexpr int64_t kTransformed = 48 << 10;

// One register tile's worth of Winograd tiles. Lists of active channels and rows apply in the transformed domain as
// they are: a point is a 1x1 convolution.
class WinogradRun {
 public:
  // v: the transformed input of the block, [point][active channel][tile].
  WinogradRun(const GroupRun& g, size_t block, float* v)
      : g_(g),
        plan_(*g.s.plan),
        winograd_(plan_.layout_as<WinogradPlan>()),
        block_(winograd_.blocks[block]),
        nr_(winograd_.register_tiles[block].nr),
        lanes_(nr_ * plan_.isa->lanes),
        v_(v) {
    // One line more than the channels: points a multiple of 4 kB apart would share cache sets.
    v_step_ = static_cast<ptrdiff_t>(g.n_steps) * lanes_ + 16;
  }

  int64_t v_floats() const { return winograd_.points() * v_step_; }
  int64_t input_work() const { return winograd_.input_work() * nr_ * g_.n_steps; }
  int64_t work() const {
    return (int64_t{winograd_.points()} * g_.n_steps + winograd_.output_work()) * g_.n_rows * nr_;
  }
  int32_t row_blocks() const { return (g_.n_rows + plan_.isa->max_mr[nr_] - 1) / plan_.isa->max_mr[nr_]; }

  // Active channels [begin, end).
  bool transform(int32_t begin, int32_t end) const {
    const ConvShape& s = plan_.shape;
    const int64_t floats = winograd_.input_floats(s, plan_.isa->lanes);
    float* const rows = block_floats(floats);
    if (rows == nullptr) return false;
    float* const zeros = rows + floats - s.width - plan_.isa->lanes;
    for (int64_t x = 0; x < s.width; ++x) zeros[x] = 0.0f;
    WinogradInput c{&block_,
                    nullptr,
                    static_cast<int32_t>(s.height),
                    static_cast<int32_t>(s.width),
                    static_cast<int32_t>(s.pad_top),
                    static_cast<int32_t>(s.pad_left),
                    zeros,
                    rows,
                    winograd_.pitch,
                    nr_,
                    nullptr,
                    v_step_};
    for (int32_t a = begin; a < end; ++a) {
      c.x = g_.channel(a);
      c.v = v_ + static_cast<ptrdiff_t>(a) * lanes_;
      plan_.isa->winograd_input[winograd_.kind()](c);
    }
    return true;
  }

  // Row blocks [begin, end) of row_blocks().
  bool compute(int32_t begin, int32_t end) const {
    const int64_t sums = int64_t{winograd_.points()} * plan_.isa->max_mr[nr_] * lanes_;
    float* const scratch = block_floats(sums + winograd_.output_floats(plan_.isa->lanes));
    if (scratch == nullptr) return false;
    const size_t blocks = row_blocks();
    for (int32_t b = begin; b < end; ++b)
      compute_rows(g_.row0 + share(g_.n_rows, b, blocks), g_.row0 + share(g_.n_rows, b + 1, blocks), scratch,
                   scratch + sums);
    return true;
  }

 private:
  static float* block_floats(int64_t n) {
    return static_cast<float*>(block_arena().get(static_cast<size_t>(n) * sizeof(float)));
  }

  void compute_rows(int32_t m, int32_t end, float* sums, float* plane) const {
    const PointsCall points{v_,  v_step_, g_.steps, g_.n_steps, winograd_.points(), g_.s.rows.w + m, plan_.group_in,
                            sums};
    plan_.isa->points[nr_][end - m](points);
    for (; m < end; ++m, sums += winograd_.points() * lanes_) {
      const WinogradOutput out{&block_, sums, nr_, plane, winograd_.plane_pitch, g_.s.end.from(m)};
      plan_.isa->winograd_output[winograd_.kind()](out);
    }
  }

  const GroupRun& g_;
  const Plan& plan_;
  const WinogradPlan& winograd_;
  const WinogradBlock& block_;
  int32_t nr_;
  int32_t lanes_;
  float* v_;
  ptrdiff_t v_step_;
};

}  // namespace

// Some blocks at a time: their inputs are transformed by all threads, a few channels each, and then multiplied, a few
// rows each. Without the wait between, every thread that multiplies would have to transform for itself: on maps of one
// block all of it, 10 to 25 % of a layer whose channels are half open.
bool run_winograd(const GroupRun& g, const Pool& pool, bool fill) {
  const size_t n_blocks = g.s.plan->layout_as<WinogradPlan>().blocks.size();
  const WinogradRun largest(g, n_blocks - 1, nullptr);
  const int64_t floats = largest.v_floats();
  const size_t most = std::clamp(static_cast<size_t>(kTransformed / floats), size_t{1}, n_blocks);
  float* const v = pixel_floats(floats * static_cast<int64_t>(most), 0);
  if (v == nullptr) return false;
  const size_t channel_pieces = task_count(largest.input_work(), g.n_steps);
  const size_t row_pieces = task_count(largest.work(), largest.row_blocks());
  for (size_t first = 0; first < n_blocks; first += most) {
    const size_t count = n_blocks - first < most ? n_blocks - first : most;
    auto block = [&](size_t i) { return WinogradRun(g, first + i, v + floats * static_cast<int64_t>(i)); };
    auto transform = [&](size_t index) {
      const size_t piece = index % channel_pieces;
      return block(index / channel_pieces)
          .transform(share(g.n_steps, piece, channel_pieces), share(g.n_steps, piece + 1, channel_pieces));
    };
    auto multiply = [&](size_t index) {
      if (fill && first == 0) fill_masked(g.s, index, count * row_pieces);
      const WinogradRun run = block(index / row_pieces);
      const size_t piece = index % row_pieces;
      return run.compute(share(run.row_blocks(), piece, row_pieces), share(run.row_blocks(), piece + 1, row_pieces));
    };
    if (!parallel_all(pool, count * channel_pieces, transform)) return false;
    if (!parallel_all(pool, count * row_pieces, multiply)) return false;
  }
  return true;
}

}  // namespace sanp
