// Runs a plan: samples and groups, one after the other or spread over the pool.
#include "cpu/conv/conv.h"

#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// One group; overloads by the layout of a plan, so that each algorithm meets its own.
bool run_group(const InPlacePlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  return run_in_place(layout, g, pool, fill);
}
bool run_group(const PlanesPlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  return run_planes(layout, g, pool, fill);
}
bool run_group(const ChannelsPlan& layout, const GroupRun& g, const Pool& pool, bool fill) {
  return run_channels(layout, g, pool, fill);
}
bool run_group(const GatherPlan&, const GroupRun& g, const Pool& pool, bool fill) { return run_gather(g, pool, fill); }
bool run_group(const DotPlan&, const GroupRun& g, const Pool& pool, bool fill) { return run_dot(g, pool, fill); }
bool run_group(const PairPlan&, const GroupRun& g, const Pool& pool, bool fill) {
  return run_pixel_pairs(g, pool, fill);
}
bool run_group(const WinogradPlan&, const GroupRun& g, const Pool& pool, bool fill) {
  return run_winograd(g, pool, fill);
}
// These take all groups of a sample at once, and without lists.
bool run_group(const DepthwisePlan&, const GroupRun&, const Pool&, bool) { return false; }
bool run_group(const EdgePlan&, const GroupRun&, const Pool&, bool) { return false; }

template <class Layout>
bool run_or_fill(const Layout& layout, const GroupRun& g, const Pool& pool, bool fill) {
  if (g.n_rows > 0) return run_group(layout, g, pool, fill);
  if (fill) fill_masked(g.s, 0, 1);
  return true;
}

// A task takes whole groups, packing included.
template <class Layout>
bool run_groups(const Layout& layout, const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const int64_t groups = plan.shape.group;
  const int64_t work = s.row_begin[groups] * plan.n_taps * plan.group_in * plan.pixels / plan.isa->lanes;
  const size_t tasks = task_count(2 * work, groups);
  return parallel_all(pool, tasks, [&](size_t index) {
    const Pool here{nullptr, nullptr};
    fill_masked(s, index, tasks);
    const int64_t end = share(groups, index + 1, tasks);
    for (int64_t i = share(groups, index, tasks); i < end; ++i)
      if (!run_or_fill(layout, GroupRun(s, i), here, false)) return false;
    return true;
  });
}

template <class Layout>
bool run_layout(const Layout& layout, const Sample& s, const Pool& pool) {
  return s.plan->shape.group == 1 ? run_or_fill(layout, GroupRun(s, 0), pool, true) : run_groups(layout, s, pool);
}
bool run_sample(const Plan& plan, const ConvCall& call, int64_t n, const Pool& pool) {
  Sample s;
  find_sample(plan, call, n, &s);
  if (std::get_if<DepthwisePlan>(&plan.layout)) return run_depthwise(s, pool);
  if (std::get_if<EdgePlan>(&plan.layout)) return run_depthwise_in_place(s, pool);
  void* const memory = list_arena().get(sample_bytes(plan));
  if (memory == nullptr) return false;
  list_sample(memory, &s);
  return std::visit([&](const auto& layout) { return run_layout(layout, s, pool); }, plan.layout);
}

}  // namespace

bool run_conv(const Plan& plan, const ConvCall& call, const Pool& pool) {
  return each_sample(call.batch, pool, [&](int64_t n, const Pool& own) { return run_sample(plan, call, n, own); });
}

}  // namespace sanp
