// Loops over tiles of pixels and blocks of output rows, calling one micro-kernel each.
#pragma once

#include <vector>

#include "cpu/conv/group_run.h"

namespace sanp {

// Some tiles of one group from packed (or untouched) pixels, times all blocks of its output rows.
class TileRun {
 public:
  // All tiles. `x` is channel x_index 0, channels x_step floats apart.
  TileRun(const GroupRun& g, const TilePlan& plan, const std::vector<ptrdiff_t>& taps, const Step* steps,
          const float* x, ptrdiff_t x_step)
      : TileRun(g, plan, steps, x, 0, plan.count()) {
    call_.x_step = x_step;
    call_.taps = taps.data();
  }
  // Tiles [tile0, tile1) from their panels; `x` is that of tile0.
  TileRun(const GroupRun& g, const GatherPlan& plan, const Step* steps, const float* x, int64_t tile0, int64_t tile1)
      : TileRun(g, plan.tiles, steps, x, tile0, tile1) {
    gather_ = &plan;
  }

  // Tiles outside, blocks inside: the other order differed by less than the noise on whole networks, and for 1x1 in
  // place it walks all pages of x again for every block.
  void run(const Pool& pool, bool fill) const {
    const int64_t jobs = n_tiles_ * n_blocks_;
    const size_t tasks = task_count(work(), jobs);
    auto task = [&](size_t index) {
      if (fill) fill_masked(g_.s, index, tasks);
      const int64_t begin = share(jobs, index, tasks);
      run_jobs(begin, share(jobs, index + 1, tasks) - begin);
    };
    parallel_for(pool, tasks, task);
  }

 private:
  TileRun(const GroupRun& g, const TilePlan& tiles, const Step* steps, const float* x, int64_t tile0, int64_t tile1)
      : g_(g), plan_(*g.s.plan), tiles_(tiles), x_(x), tile0_(tile0), n_tiles_(tile1 - tile0) {
    n_blocks_ = (g.n_rows + tiles.max_mr - 1) / tiles.max_mr;
    call_.steps = steps;
    call_.n_steps = g.n_steps;
    call_.n_taps = static_cast<int32_t>(plan_.n_taps);
    call_.w_bytes =
        plan_.row_weights() * static_cast<ptrdiff_t>(g.s.weights == kBf16Weights ? sizeof(Bf16) : sizeof(float));
  }

  int64_t work() const {
    int64_t vecs = 0;
    for (int64_t t = tile0_; t < tile0_ + n_tiles_; ++t) vecs += tiles_.tiles[t].nr;
    return vecs * plan_.n_taps * g_.n_steps * g_.n_rows;
  }

  void run_jobs(int64_t job, int64_t count) const {
    TileCall c = call_;
    int64_t tile = tile0_ + job / n_blocks_, block = job % n_blocks_;
    for (; count > 0; --count) {
      compute(tile, block, &c);
      if (++block == n_blocks_) ++tile, block = 0;
    }
  }

  // Blocks differ by one row at most: 19 rows of at most 8 are 7 + 6 + 6, because a padded row costs a whole row.
  void compute(int64_t tile_index, int64_t block, TileCall* c) const {
    const Tile& tile = tiles_.tiles[tile_index];
    const int32_t each = g_.n_rows / static_cast<int32_t>(n_blocks_),
                  extra = g_.n_rows % static_cast<int32_t>(n_blocks_);
    const int32_t b = static_cast<int32_t>(block);
    const int32_t m = g_.row0 + b * each + (b < extra ? b : extra);
    if (gather_ == nullptr) {
      c->x = x_ + tiles_.vecs_of(tile)->x;
    } else {
      c->x = x_ + (gather_->panels[tile_index] - gather_->panels[tile0_]) * g_.n_steps;
      c->x_step = plan_.n_taps * tile.nr * plan_.isa->lanes;
      c->taps = gather_->taps[tile.nr].data();
    }
    c->vecs = tiles_.vecs_of(tile);
    c->w = g_.s.rows.w + m;
    // The first tile meets its weights cold: fetching the next block ahead took 256 channels at 8x8, with weights from
    // memory, from 82 to 86 % of the ceiling. For later tiles the weights are cached and it would only cost.
    c->next_w = tile_index == tile0_ && b + 1 < n_blocks_ ? c->w + each + (b < extra ? 1 : 0) : nullptr;
    c->end = g_.s.end.from(m);
    plan_.isa->tile[g_.s.weights][plan_.taps_kind][tile.nr][each + (b < extra ? 1 : 0)](*c);
  }

  const GroupRun& g_;
  const Plan& plan_;
  const TilePlan& tiles_;
  const GatherPlan* gather_ = nullptr;  // null: pixels lie in planes
  const float* x_;
  int64_t tile0_, n_tiles_, n_blocks_;
  TileCall call_{};
};

}  // namespace sanp
