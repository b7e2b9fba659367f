// Algorithms for maps of a few pixels: dot products along the weights, and vectors of pixel pairs.
#include "cpu/conv/dot_run.h"

namespace sanp {

bool run_dot(const GroupRun& g, const Pool& pool, bool fill) {
  const DotRun run(g, 0);
  float* const x = pixel_floats(run.floats(), 0);
  if (x == nullptr) return false;
  run.expand(x);
  run.run(x, pool, fill);
  return true;
}

bool run_pixel_pairs(const GroupRun& g, const Pool& pool, bool fill) {
  const Plan& plan = *g.s.plan;
  const int32_t* const taps = plan.layout_as<PairPlan>().taps.data();
  const int32_t inputs = static_cast<int32_t>(plan.shape.height * plan.shape.width);
  float* const x = pixel_floats(int64_t{kPairLanes} * g.n_steps, 0);
  if (x == nullptr) return false;
  // Which input pixel each pair reads, found once: a division per pair took 4 to 15 % of a layer at 2x2.
  int32_t from[kPairLanes];
  for (int32_t j = 0; j < kPairLanes; ++j) from[j] = taps[j] < 0 ? -1 : j % inputs;
  for (int32_t a = 0; a < g.n_steps; ++a) {
    const float* const channel = g.channel(a);
    for (int32_t j = 0; j < kPairLanes; ++j) x[a * kPairLanes + j] = from[j] < 0 ? 0.0f : channel[from[j]];
  }
  const int32_t most = plan.isa->pairs_max_rows;
  const int64_t blocks = (g.n_rows + most - 1) / most;
  const size_t tasks = task_count(int64_t{3} * g.n_rows * g.n_steps, blocks);
  auto task = [&](size_t index) {
    if (fill) fill_masked(g.s, index, tasks);
    const int32_t end = g.row0 + share(g.n_rows, index + 1, tasks);
    for (int32_t m = g.row0 + share(g.n_rows, index, tasks); m < end;) {
      const int n = end - m >= most ? most : end - m;
      const PairsCall c{x,
                        g.steps,
                        g.n_steps,
                        taps,
                        static_cast<int32_t>(plan.n_taps),
                        inputs,
                        static_cast<int32_t>(plan.pixels),
                        g.s.rows.w + m,
                        g.s.end.from(m)};
      plan.isa->pairs[g.s.weights][n](c);
      m += n;
    }
  };
  parallel_for(pool, tasks, task);
  return true;
}

}  // namespace sanp
