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

  int64_t floats() const { return winograd_.points() * v_step_; }

  bool transform(float* v, const Pool& pool) const {
    const int32_t n = g_.n_steps;
    std::atomic<bool> ok{true};
    const size_t tasks = task_count(int64_t{n} * nr_ * 200, n > 0 ? n : 1);
    auto task = [&](size_t index) {
      const ConvShape& s = plan_.shape;
      const int64_t floats = winograd_.input_floats(s, plan_.isa->lanes);
      float* const rows = block_floats(floats);
      if (rows == nullptr) return ok.store(false, std::memory_order_relaxed);
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
      const int32_t end = static_cast<int32_t>(n * (index + 1) / tasks);
      for (int32_t a = static_cast<int32_t>(n * index / tasks); a < end; ++a) {
        c.x = g_.channel(a);
        c.v = v + static_cast<ptrdiff_t>(a) * lanes_;
        plan_.isa->winograd_input[winograd_.kind()](c);
      }
    };
    parallel_for(pool, tasks, task);
    return ok.load(std::memory_order_relaxed);
  }

  bool compute(const float* v, const Pool& pool, bool fill) const {
    const int32_t max_mr = plan_.isa->max_mr[nr_];
    const int32_t blocks = (g_.n_rows + max_mr - 1) / max_mr;
    std::atomic<bool> ok{true};
    const size_t tasks = task_count(int64_t{winograd_.points()} * g_.n_steps * g_.n_rows * nr_, blocks);
    auto task = [&](size_t index) {
      if (fill) fill_masked(g_.s, index, tasks);
      const int64_t sums = int64_t{winograd_.points()} * max_mr * lanes_;
      float* const scratch = block_floats(sums + winograd_.output_floats(plan_.isa->lanes));
      if (scratch == nullptr) return ok.store(false, std::memory_order_relaxed);
      const int32_t end = static_cast<int32_t>(blocks * (index + 1) / tasks);
      for (int32_t b = static_cast<int32_t>(blocks * index / tasks); b < end; ++b)
        compute_rows(v, g_.row0 + static_cast<int32_t>(int64_t{g_.n_rows} * b / blocks),
                     g_.row0 + static_cast<int32_t>(int64_t{g_.n_rows} * (b + 1) / blocks), scratch, scratch + sums);
    };
    parallel_for(pool, tasks, task);
    return ok.load(std::memory_order_relaxed);
  }

 private:
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

bool run_winograd(const GroupRun& g, const Pool& pool, bool fill) {
  for (size_t block = 0; block < g.s.plan->winograd.blocks.size(); ++block) {
    const WinogradRun run(g, block);
    float* const v = pixel_floats(run.floats(), 0);
    if (v == nullptr || !run.transform(v, pool) || !run.compute(v, pool, fill && block == 0)) return false;
  }
  return true;
}

}  // namespace sanp
