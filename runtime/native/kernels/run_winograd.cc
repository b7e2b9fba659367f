// The Winograd family: transform the active input channels, multiply at every point, transform the open rows back.
#include <atomic>

#include "group_run.h"

namespace sanp {
namespace {

// One register tile's worth of Winograd tiles. Lists of active channels and rows apply in the transformed domain as
// they are: a point is a 1x1 convolution.
class WinogradRun {
 public:
  WinogradRun(const GroupRun& g, size_t block)
      : g_(g),
        plan_(*g.s.plan),
        winograd_(plan_.winograd),
        block_(winograd_.blocks[block]),
        nr_(plan_.tiles[block].nr),
        lanes_(nr_ * plan_.isa->lanes) {
    // One line more than the channels: points a multiple of 4 kB apart would share cache sets.
    v_step_ = static_cast<ptrdiff_t>(g.n_steps) * lanes_ + 16;
  }

  // The transformed active channels: built once per thread that works on this block. Null when memory is short.
  const float* input(uint64_t label) const {
    if (const void* const made = pixel_arena().labelled(label)) return static_cast<const float*>(made);
    float* const v = pixel_floats(winograd_.points() * v_step_, 0);
    if (v == nullptr || !transform(v)) return nullptr;
    pixel_arena().label(label);
    return v;
  }

  int64_t work() const { return int64_t{winograd_.points()} * g_.n_steps * g_.n_rows * nr_; }
  int32_t row_blocks() const { return (g_.n_rows + plan_.isa->max_mr[nr_] - 1) / plan_.isa->max_mr[nr_]; }

  // Row blocks [begin, end) of row_blocks().
  bool compute(const float* v, int32_t begin, int32_t end) const {
    const int64_t sums = int64_t{winograd_.points()} * plan_.isa->max_mr[nr_] * lanes_;
    float* const scratch = block_floats(sums + winograd_.output_floats(plan_.isa->lanes));
    if (scratch == nullptr) return false;
    const int32_t blocks = row_blocks();
    for (int32_t b = begin; b < end; ++b)
      compute_rows(v, g_.row0 + static_cast<int32_t>(int64_t{g_.n_rows} * b / blocks),
                   g_.row0 + static_cast<int32_t>(int64_t{g_.n_rows} * (b + 1) / blocks), scratch, scratch + sums);
    return true;
  }

 private:
  bool transform(float* v) const {
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
    for (int32_t a = 0; a < g_.n_steps; ++a) {
      c.x = g_.channel(a);
      c.v = v + static_cast<ptrdiff_t>(a) * lanes_;
      plan_.isa->winograd_input[winograd_.kind()](c);
    }
    return true;
  }

  static float* block_floats(int64_t n) {
    return static_cast<float*>(block_arena().get(static_cast<size_t>(n) * sizeof(float)));
  }

  void compute_rows(const float* v, int32_t m, int32_t end, float* sums, float* plane) const {
    const Rows& rows = g_.s.rows;
    const PointsCall points{v, v_step_, g_.steps, g_.n_steps, winograd_.points(), rows.w + m, plan_.group_in, sums};
    plan_.isa->points[nr_][end - m](points);
    for (; m < end; ++m, sums += winograd_.points() * lanes_) {
      const WinogradOutput out{&block_,
                               sums,
                               nr_,
                               plane,
                               winograd_.plane_pitch,
                               rows.scale[m],
                               rows.shift[m],
                               g_.s.call->act_min,
                               g_.s.call->act_max,
                               g_.s.residual ? rows.residual[m] : nullptr,
                               rows.y[m]};
      plan_.isa->winograd_output[winograd_.kind()](out);
    }
  }

  const GroupRun& g_;
  const Plan& plan_;
  const WinogradPlan& winograd_;
  const WinogradBlock& block_;
  int32_t nr_;
  int32_t lanes_;
  ptrdiff_t v_step_;
};

}  // namespace

// A task is some rows of one block. Its thread transforms the input of that block first, unless it has done so for an
// earlier task: no barrier, and what two threads transform twice is at most one block each.
bool run_winograd(const GroupRun& g, const Pool& pool, bool fill) {
  static std::atomic<uint64_t> labels{0};
  const std::vector<WinogradBlock>& blocks = g.s.plan->winograd.blocks;
  const uint64_t label = labels.fetch_add(blocks.size(), std::memory_order_relaxed) + 1;
  const WinogradRun first(g, 0);
  const size_t pieces = task_count(first.work(), first.row_blocks());
  const size_t tasks = pieces * blocks.size();
  std::atomic<bool> ok{true};
  auto task = [&](size_t index) {
    if (fill) fill_masked(g.s, index, tasks);
    const size_t block = index / pieces, piece = index % pieces;
    const WinogradRun run(g, block);
    const float* const v = run.input(label + block);
    const auto row = [&](size_t end) { return static_cast<int32_t>(run.row_blocks() * end / pieces); };
    if (v == nullptr || !run.compute(v, row(piece), row(piece + 1))) ok.store(false, std::memory_order_relaxed);
  };
  parallel_for(pool, tasks, task);
  return ok.load(std::memory_order_relaxed);
}

}  // namespace sanp
