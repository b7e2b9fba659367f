// Runs a plan: packs the active input channels, then computes blocks of output rows times tiles of pixels.
#include "conv.h"

#include <string.h>

#include <atomic>

#include "arena.h"
#include "sample.h"

namespace sanp {
namespace {

// Vector multiply-adds per task: about 20 us, a hundred times what handing a task to a pool costs.
constexpr int64_t kTaskWork = 60000;
// Pixels expanded at once; larger panels are built and used in chunks of tiles.
constexpr int64_t kPanelFloats = int64_t{1} << 20;
// Batches at least this large are split by sample: no barriers inside a sample, and the pool is as busy.
constexpr int64_t kSplitBatch = 4;

size_t task_count(int64_t work, int64_t limit) {
  int64_t n = work / kTaskWork;
  n = n > 64 ? 64 : n;
  n = n > limit ? limit : n;
  return static_cast<size_t>(n < 1 ? 1 : n);
}

// The active rows and channels of one group.
struct GroupRun {
  const Sample& s;
  int64_t group;
  int32_t row0, n_rows;
  const Step* steps;
  int32_t n_steps;

  GroupRun(const Sample& sample, int64_t g)
      : s(sample),
        group(g),
        row0(s.row_begin[g]),
        n_rows(s.row_begin[g + 1] - row0),
        steps(s.steps + s.step_begin[g]),
        n_steps(s.step_begin[g + 1] - s.step_begin[g]) {}

  const float* channel(int32_t step) const {
    const ConvShape& shape = s.plan->shape;
    return s.x + (group * s.plan->group_in + steps[step].x_index) * shape.height * shape.width;
  }
};

void gather_channel(const Plan& plan, const float* channel, const Tile& tile, float* dst) {
  const ConvShape& s = plan.shape;
  const int64_t lanes = static_cast<int64_t>(tile.nr) * plan.isa->lanes;
  const int64_t first = static_cast<int64_t>(tile.first_vec) * plan.isa->lanes;
  for (int64_t ky = 0; ky < s.kernel_h; ++ky)
    for (int64_t kx = 0; kx < s.kernel_w; ++kx)
      for (int64_t p = first; p < first + lanes; ++p) {
        const int64_t y = p / plan.out_w * s.stride_y - s.pad_top + ky * s.dilation_y;
        const int64_t x = p % plan.out_w * s.stride_x - s.pad_left + kx * s.dilation_x;
        const bool inside = p < plan.pixels && y >= 0 && y < s.height && x >= 0 && x < s.width;
        *dst++ = inside ? channel[y * s.width + x] : 0.0f;
      }
}

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

  // Tiles outside, blocks inside, unless the plan wants it the other way round.
  void run(const Pool& pool, bool fill) const {
    const int64_t jobs = n_tiles_ * n_blocks_;
    const size_t tasks = task_count(work(), jobs);
    auto task = [&](size_t index) {
      if (fill) fill_masked(g_.s, index, tasks);
      const int64_t begin = jobs * static_cast<int64_t>(index) / static_cast<int64_t>(tasks);
      const int64_t end = jobs * static_cast<int64_t>(index + 1) / static_cast<int64_t>(tasks);
      run_jobs(begin, end - begin);
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
    const int64_t inner = plan_.rows_outside ? n_tiles_ : n_blocks_;
    int64_t i = job / inner, j = job % inner;
    for (; count > 0; --count) {
      if (plan_.rows_outside)
        compute(tile0_ + j, i, &c);
      else
        compute(tile0_ + i, j, &c);
      if (++j == inner) ++i, j = 0;
    }
  }

  // Blocks differ by one row at most: 19 rows of at most 8 are 7 + 6 + 6, because a padded row costs a whole row.
  void compute(int64_t tile_index, int64_t block, TileCall* c) const {
    const Tile& tile = plan_.tiles[tile_index];
    const int32_t each = g_.n_rows / static_cast<int32_t>(n_blocks_), extra = g_.n_rows % static_cast<int32_t>(n_blocks_);
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
    plan_.isa->tile[plan_.taps_kind][tile.nr][each + (b < extra ? 1 : 0)](*c);
  }

  const GroupRun& g_;
  const Plan& plan_;
  const float* x_;
  ptrdiff_t x_step_;
  int64_t tile0_, n_tiles_, n_blocks_;
  TileCall call_{};
};

// The steps of packed pixels count packed channels instead of input channels. Carved behind the pixels.
const Step* packed_steps(const GroupRun& g, float* memory) {
  Step* out = reinterpret_cast<Step*>(memory);
  for (int32_t a = 0; a < g.n_steps; ++a) out[a] = {a, g.steps[a].w_offset};
  return out;
}

float* pixel_floats(int64_t n, int64_t steps) {
  return static_cast<float*>(pixel_arena().get(static_cast<size_t>(n) * sizeof(float) + steps * sizeof(Step)));
}

bool run_in_place(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int64_t plane = plan.shape.height * plan.shape.width;
  const float* const x = g.s.x + g.group * plan.group_in * plane;
  TileRun(g, g.steps, x, plane, 0, static_cast<int64_t>(plan.tiles.size())).run(pool, fill);
  return true;
}

// Output pixels [first, pixels) as dot products over whole weight rows. Up to kDotMaxPixels of them.
class DotRun {
 public:
  DotRun(const GroupRun& g, int64_t first) : g_(g), plan_(*g.s.plan), first_(first) {}

  ptrdiff_t step() const {
    const int64_t k = plan_.group_in * plan_.n_taps;
    return (k + plan_.isa->lanes - 1) / plan_.isa->lanes * plan_.isa->lanes;
  }
  int64_t floats() const { return step() * (plan_.pixels - first_); }

  // x expanded to [pixel][channel][tap], zero where the channel is inactive or the tap is outside.
  void expand(float* x) const {
    const ConvShape& s = plan_.shape;
    memset(x, 0, static_cast<size_t>(floats()) * sizeof(float));
    for (int64_t p = first_; p < plan_.pixels; ++p, x += step()) {
      const int64_t top = p / plan_.out_w * s.stride_y - s.pad_top, left = p % plan_.out_w * s.stride_x - s.pad_left;
      for (int64_t ky = 0; ky < s.kernel_h; ++ky)
        for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
          const int64_t row = top + ky * s.dilation_y, col = left + kx * s.dilation_x;
          if (row < 0 || row >= s.height || col < 0 || col >= s.width) continue;
          for (int32_t a = 0; a < g_.n_steps; ++a)
            x[g_.steps[a].w_offset + ky * s.kernel_w + kx] = g_.channel(a)[row * s.width + col];
        }
    }
  }

  void run(const float* x, const Pool& pool, bool fill) const {
    const size_t tasks = task_count(g_.n_rows * floats() / plan_.isa->lanes, (g_.n_rows + kDotRows - 1) / kDotRows);
    auto task = [&](size_t index) {
      if (fill) fill_masked(g_.s, index, tasks);
      const int32_t end = g_.row0 + static_cast<int32_t>(g_.n_rows * (index + 1) / tasks);
      for (int32_t m = g_.row0 + static_cast<int32_t>(g_.n_rows * index / tasks); m < end;) {
        const int n = end - m >= kDotRows ? kDotRows : 1;
        const Rows& rows = g_.s.rows;
        const DotCall c{x, step(), plan_.group_in * plan_.n_taps, rows.w + m, rows.scale + m, rows.shift + m, rows.y + m,
                        first_, g_.s.residual ? rows.residual + m : nullptr, g_.s.call->act_min, g_.s.call->act_max};
        plan_.isa->dot[n][plan_.pixels - first_](c);
        m += n;
      }
    };
    parallel_for(pool, tasks, task);
  }

 private:
  const GroupRun& g_;
  const Plan& plan_;
  int64_t first_;
};

bool run_dot(const GroupRun& g, const Pool& pool, bool fill) {
  const DotRun run(g, 0);
  float* const x = pixel_floats(run.floats(), 0);
  if (x == nullptr) return false;
  run.expand(x);
  run.run(x, pool, fill);
  return true;
}

bool run_planes(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int64_t channel = plan.plane.channel_floats;
  const int64_t slack = plan.isa->lanes;  // the last vector of a plane may read past it
  const int64_t floats = g.n_steps * channel + slack;
  const DotRun tail(g, plan.pixels - plan.tail_pixels);
  float* const x = pixel_floats(floats + tail.floats(), g.n_steps);
  if (x == nullptr) return false;
  for (int64_t j = 0; j < slack; ++j) x[floats - slack + j] = 0.0f;
  const Step* const steps = packed_steps(g, x + floats + tail.floats());

  const size_t tasks = task_count(g.n_steps * channel / 8, g.n_steps > 0 ? g.n_steps : 1);
  auto pack = [&](size_t index) {
    const int32_t end = static_cast<int32_t>(g.n_steps * (index + 1) / tasks);
    for (int32_t a = static_cast<int32_t>(g.n_steps * index / tasks); a < end; ++a)
      plan.isa->pack_plane(plan.plane, g.channel(a), x + a * channel);
  };
  parallel_for(pool, tasks, pack);
  TileRun(g, steps, x, channel, 0, static_cast<int64_t>(plan.tiles.size())).run(pool, fill);
  if (plan.tail_pixels > 0) {
    tail.expand(x + floats);
    tail.run(x + floats, pool, false);
  }
  return true;
}

bool run_gather(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int64_t n_tiles = static_cast<int64_t>(plan.tiles.size());
  for (int64_t tile0 = 0, tile1; tile0 < n_tiles; tile0 = tile1) {
    auto floats = [&](int64_t end) {
      const int64_t all = end == n_tiles ? plan.panel_floats : plan.tiles[end].panel;
      return (all - plan.tiles[tile0].panel) * g.n_steps;
    };
    for (tile1 = tile0 + 1; tile1 < n_tiles && floats(tile1 + 1) <= kPanelFloats;) ++tile1;
    float* const x = pixel_floats(floats(tile1), g.n_steps);
    if (x == nullptr) return false;
    const Step* const steps = packed_steps(g, x + floats(tile1));

    const size_t tasks = task_count(floats(tile1), g.n_steps > 0 ? g.n_steps : 1);
    auto pack = [&](size_t index) {
      const int32_t end = static_cast<int32_t>(g.n_steps * (index + 1) / tasks);
      for (int32_t a = static_cast<int32_t>(g.n_steps * index / tasks); a < end; ++a)
        for (int64_t t = tile0; t < tile1; ++t) {
          const Tile& tile = plan.tiles[t];
          gather_channel(plan, g.channel(a), tile,
                         x + (tile.panel - plan.tiles[tile0].panel) * g.n_steps +
                             a * plan.n_taps * tile.nr * plan.isa->lanes);
        }
    };
    parallel_for(pool, tasks, pack);
    TileRun(g, steps, x, 0, tile0, tile1).run(pool, fill && tile0 == 0);
  }
  return true;
}

bool run_quad(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int32_t inputs = static_cast<int32_t>(plan.shape.height * plan.shape.width);
  float* const x = pixel_floats(int64_t{kQuadLanes} * g.n_steps, 0);
  if (x == nullptr) return false;
  for (int32_t a = 0; a < g.n_steps; ++a) {
    const float* const channel = g.channel(a);
    for (int32_t j = 0; j < kQuadLanes; ++j) x[a * kQuadLanes + j] = plan.quad_taps[j] < 0 ? 0.0f : channel[j % inputs];
  }
  const int64_t blocks = (g.n_rows + kQuadMaxRows - 1) / kQuadMaxRows;
  const size_t tasks = task_count(int64_t{3} * g.n_rows * g.n_steps, blocks);
  auto task = [&](size_t index) {
    if (fill) fill_masked(g.s, index, tasks);
    const int32_t end = g.row0 + static_cast<int32_t>(g.n_rows * (index + 1) / tasks);
    for (int32_t m = g.row0 + static_cast<int32_t>(g.n_rows * index / tasks); m < end;) {
      const int n = end - m >= kQuadMaxRows ? kQuadMaxRows : end - m;
      const Rows& rows = g.s.rows;
      const QuadCall c{x, g.steps, g.n_steps, plan.quad_taps.data(), static_cast<int32_t>(plan.n_taps), inputs,
                       static_cast<int32_t>(plan.pixels), rows.w + m, rows.scale + m, rows.shift + m, rows.y + m,
                       g.s.residual ? rows.residual + m : nullptr, g.s.call->act_min, g.s.call->act_max};
      plan.isa->quad[n](c);
      m += n;
    }
  };
  parallel_for(pool, tasks, task);
  return true;
}

bool run_group(const GroupRun& g, const Pool& pool, bool fill) {
  if (g.n_rows == 0) {
    if (fill) fill_masked(g.s, 0, 1);
    return true;
  }
  switch (g.s.plan->family) {
    case Family::kInPlace: return run_in_place(g, pool, fill);
    case Family::kRows:
    case Family::kColumns: return run_planes(g, pool, fill);
    case Family::kGather: return run_gather(g, pool, fill);
    case Family::kDot: return run_dot(g, pool, fill);
    case Family::kQuad: return run_quad(g, pool, fill);
  }
  return false;
}

// Grouped and depthwise: a task takes whole groups, packing included.
bool run_groups(const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const int64_t groups = plan.shape.group;
  const int64_t work = s.row_begin[groups] * plan.n_taps * plan.group_in * plan.pixels / plan.isa->lanes;
  const size_t tasks = task_count(2 * work, groups);
  std::atomic<bool> ok{true};
  auto task = [&](size_t index) {
    const Pool here{nullptr, nullptr};
    fill_masked(s, index, tasks);
    const int64_t end = groups * static_cast<int64_t>(index + 1) / static_cast<int64_t>(tasks);
    for (int64_t i = groups * static_cast<int64_t>(index) / static_cast<int64_t>(tasks); i < end; ++i)
      if (!run_group(GroupRun(s, i), here, false)) ok.store(false, std::memory_order_relaxed);
  };
  parallel_for(pool, tasks, task);
  return ok.load(std::memory_order_relaxed);
}

bool run_sample(const Plan& plan, const ConvCall& call, int64_t n, const Pool& pool) {
  void* const memory = list_arena().get(sample_bytes(plan));
  if (memory == nullptr) return false;
  Sample s;
  list_sample(plan, call, n, memory, &s);
  return plan.shape.group == 1 ? run_group(GroupRun(s, 0), pool, true) : run_groups(s, pool);
}

}  // namespace

bool run_conv(const Plan& plan, const ConvCall& call, const Pool& pool) {
  if (call.batch < kSplitBatch) {
    for (int64_t n = 0; n < call.batch; ++n)
      if (!run_sample(plan, call, n, pool)) return false;
    return true;
  }
  std::atomic<bool> ok{true};
  auto task = [&](size_t n) {
    const Pool here{nullptr, nullptr};
    if (!run_sample(plan, call, static_cast<int64_t>(n), here)) ok.store(false, std::memory_order_relaxed);
  };
  parallel_for(pool, static_cast<size_t>(call.batch), task);
  return ok.load(std::memory_order_relaxed);
}

}  // namespace sanp
