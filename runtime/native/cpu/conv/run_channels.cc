// 1x1 with lanes of output channels, or of pixels where a sample has few of the channels open.
#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// All pixel tiles of one sample, block after block of output channels.
class ChannelsRun {
 public:
  ChannelsRun(const ChannelsPlan& layout, const GroupRun& g) : layout_(layout), g_(g), plan_(*g.s.plan) {
    const Sample& s = g.s;
    call_.x_step = call_.y_step = plan_.pixels;
    call_.at = layout.at.data();
    call_.steps = g.steps;
    call_.n_steps = g.n_steps;
    call_.fetch_lines = 1;
    call_.shift_more = s.residual_value;
    call_.act_min = s.call->act_min;
    call_.act_max = s.call->act_max;
  }

  // The last tile may overlap the one before it, so one task computes both.
  int64_t units() const { return layout_.tiles > 1 ? layout_.tiles - 1 : 1; }
  int64_t jobs() const { return layout_.blocks * units(); }
  int64_t work() const { return layout_.vecs * layout_.tiles * layout_.tile_pixels * g_.n_steps; }

  void run(int64_t begin, int64_t end) const {
    ChannelsCall call = call_;
    for (int64_t job = begin; job < end; ++job) {
      const int64_t unit = job % units();
      compute(job / units(), unit, &call);
      if (unit + 1 == units() && layout_.tiles > 1) compute(job / units(), unit + 1, &call);
    }
  }

 private:
  void compute(int64_t block, int64_t tile, ChannelsCall* c) const {
    const Sample& s = g_.s;
    const int64_t most_vecs = plan_.isa->channel_vecs, vecs = layout_.vecs - block * most_vecs;
    const int64_t most = most_vecs * plan_.isa->lanes, first = block * most;
    const int64_t left = plan_.shape.channels_out - first;
    const int64_t pixel = layout_.first_pixel(tile, plan_.pixels), at = first * plan_.pixels + pixel;
    c->x = s.x + pixel;
    c->w = static_cast<const float*>(s.call->prepared) + first * plan_.shape.channels_in;
    const bool last_tile = tile + 1 == layout_.tiles, last_block = block + 1 == layout_.blocks;
    c->next_w = c->w + (last_tile && !last_block ? most * plan_.shape.channels_in : 0);
    c->outputs = static_cast<int32_t>(left < most ? left : most);
    c->scale = s.scale + first;
    c->shift = s.shift + first;
    c->y = s.y + at;
    c->residual = s.residual ? s.residual + at : nullptr;
    const int64_t block_vecs = vecs < most_vecs ? vecs : most_vecs;
    c->w_step = block_vecs * plan_.isa->lanes;
    plan_.isa->channels[block_vecs][layout_.tile_pixels](*c);
  }

  const ChannelsPlan& layout_;
  const GroupRun& g_;
  const Plan& plan_;
  ChannelsCall call_{};
};

}  // namespace

bool run_channels(const ChannelsPlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  if (g.n_rows < layout.least_rows)
    return layout.in_place ? run_in_place(*layout.in_place, g, pool, fill) : run_planes(*layout.planes, g, pool, fill);
  const ChannelsRun run(layout, g);
  const size_t tasks = task_count(run.work(), run.jobs());
  auto task = [&](size_t index) { run.run(share(run.jobs(), index, tasks), share(run.jobs(), index + 1, tasks)); };
  parallel_for(pool, tasks, task);
  // What was computed for masked channels goes.
  if (fill) fill_masked(g.s, 0, 1);
  return true;
}

}  // namespace sanp
