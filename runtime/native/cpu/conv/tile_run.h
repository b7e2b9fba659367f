// Loops over tiles of pixels and blocks of output rows, calling one micro-kernel each.
#pragma once

#include "cpu/conv/group_run.h"

namespace sanp {

// Tiles [tile0, tile1) of one group from packed (or untouched) pixels, times all blocks of its output rows.
class TileRun {
 public:
  // `x` is channel x_index 0, or the panel of tile0. x_step is 0 for kGather: there it depends on the tile.
  TileRun(const GroupRun& g, const Step* steps, const float* x, ptrdiff_t x_step, int64_t tile0, int64_t tile1)
      : g_(g), plan_(*g.s.plan), x_(x), x_step_(x_step), tile0_(tile0), n_tiles_(tile1 - tile0) {
    n_blocks_ = (g.n_rows + plan_.max_mr - 1) / plan_.max_mr;
    call_.steps = steps;
    call_.n_steps = g.n_steps;
    call_.n_taps = static_cast<int32_t>(plan_.n_taps);
    call_.act_min = g.s.call->act_min;
    call_.act_max = g.s.call->act_max;
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
  int64_t work() const {
    int64_t vecs = 0;
    for (int64_t t = tile0_; t < tile0_ + n_tiles_; ++t) vecs += plan_.tiles[t].nr;
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
    const Tile& tile = plan_.tiles[tile_index];
    const int32_t each = g_.n_rows / static_cast<int32_t>(n_blocks_),
                  extra = g_.n_rows % static_cast<int32_t>(n_blocks_);
    const int32_t b = static_cast<int32_t>(block);
    const int32_t m = g_.row0 + b * each + (b < extra ? b : extra);
    if (x_step_ != 0) {
      c->x = x_ + plan_.vecs[tile.first_vec].x;
      c->x_step = x_step_;
      c->taps = plan_.taps.data();
    } else {
      c->x = x_ + (tile.panel - plan_.tiles[tile0_].panel) * g_.n_steps;
      c->x_step = plan_.n_taps * tile.nr * plan_.isa->lanes;
      c->taps = plan_.panel_taps[tile.nr].data();
    }
    const Rows& rows = g_.s.rows;
    c->vecs = &plan_.vecs[tile.first_vec];
    c->w = rows.w + m;
    // The first tile meets its weights cold: fetching the next block ahead took 256 channels at 8x8, with weights from
    // memory, from 82 to 86 % of the ceiling. For later tiles the weights are cached and it would only cost.
    c->next_w = tile_index == tile0_ && b + 1 < n_blocks_ ? c->w + each + (b < extra ? 1 : 0) : nullptr;
    c->scale = rows.scale + m;
    c->shift = rows.shift + m;
    c->y = rows.y + m;
    c->residual = g_.s.residual ? rows.residual + m : nullptr;
    plan_.isa->tile[g_.s.weights][plan_.taps_kind][tile.nr][each + (b < extra ? 1 : 0)](*c);
  }

  const GroupRun& g_;
  const Plan& plan_;
  const float* x_;
  ptrdiff_t x_step_;
  int64_t tile0_, n_tiles_, n_blocks_;
  TileCall call_{};
};

}  // namespace sanp
