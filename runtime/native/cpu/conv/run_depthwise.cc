// The depthwise algorithm: strips of each open channel are copied into bordered planes and multiplied from the cache.
#include <atomic>

#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// Copying and finishing a vector, in vector multiply-adds.
constexpr int64_t kVectorWork = 6;

void run_channel(const GroupRun& g, const DepthwisePlan& layout, float* x) {
  const Plan& plan = *g.s.plan;
  DepthwiseCall c{};
  c.x = x;
  c.pitch = layout.planes.plane.pitch;
  c.chains = layout.chains.data();
  c.n_chains = g.n_steps == 0 ? 0 : static_cast<int32_t>(layout.chains.size());
  c.cols = static_cast<int32_t>(plan.out_w);
  for (int64_t y = 0; y < plan.out_h; y += layout.strip_rows) {
    const int64_t rows = y + layout.strip_rows < plan.out_h ? layout.strip_rows : plan.out_h - y;
    if (g.n_steps != 0)
      layout.isa->pack_strip(layout.planes.plane, g.channel(0), static_cast<int>(y),
                             static_cast<int>(rows + layout.row_span), layout.strips > 1, x);
    c.rows = static_cast<int32_t>(rows);
    c.first_pixel = y * plan.out_w;
    for (int32_t m = g.row0; m < g.row0 + g.n_rows; ++m) {
      c.w = static_cast<const float*>(g.s.rows.w[m]);
      c.end = g.s.end.from(m);
      layout.isa->depthwise(c);
    }
  }
}

}  // namespace

bool run_depthwise(const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const auto& layout = plan.layout_as<DepthwisePlan>();
  const int64_t groups = plan.shape.group;
  const int64_t floats = layout.planes.plane.channel_floats + layout.isa->lanes;  // the last vector may read past it
  const int64_t vecs = static_cast<int64_t>(layout.planes.tiles.vecs.size()) * layout.strips;
  const size_t tasks = task_count(s.row_begin[groups] * vecs * (plan.n_taps + kVectorWork), groups);
  std::atomic<bool> ok{true};
  auto task = [&](size_t index) {
    fill_masked(s, index, tasks);
    float* const x = pixel_floats(floats, 0);
    if (x == nullptr) return ok.store(false, std::memory_order_relaxed);
    // Borders are cleared once; no channel writes anything else there.
    for (int64_t j = 0; j < floats; ++j) x[j] = 0.0f;
    const int64_t end = share(groups, index + 1, tasks);
    for (int64_t i = share(groups, index, tasks); i < end; ++i) {
      const GroupRun g(s, i);
      if (g.n_rows != 0) run_channel(g, layout, x);
    }
  };
  parallel_for(pool, tasks, task);
  return ok.load(std::memory_order_relaxed);
}

}  // namespace sanp
