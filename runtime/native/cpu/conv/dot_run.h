// The last few pixels of a map, or all of a tiny one, as dot products over whole weight rows.
#pragma once

#include <string.h>

#include "cpu/conv/group_run.h"

namespace sanp {

// Output pixels [first, pixels) as dot products over whole weight rows. Up to kDotMaxPixels of them.
class DotRun {
 public:
  DotRun(const GroupRun& g, int64_t first) : g_(g), plan_(*g.s.plan), first_(first) {}

  ptrdiff_t step() const {
    const int64_t k = plan_.row_weights();
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
    const int many = plan_.isa->dot_rows[plan_.pixels - first_];
    const size_t tasks = task_count(g_.n_rows * floats() / plan_.isa->lanes, (g_.n_rows + many - 1) / many);
    auto task = [&](size_t index) {
      if (fill) fill_masked(g_.s, index, tasks);
      const int32_t end = g_.row0 + share(g_.n_rows, index + 1, tasks);
      for (int32_t m = g_.row0 + share(g_.n_rows, index, tasks); m < end;) {
        const int n = end - m >= many ? many : 1;
        const DotCall c{x, step(), plan_.row_weights(), g_.s.rows.w + m, first_, g_.s.end.from(m)};
        plan_.isa->dot[g_.s.weights][n][plan_.pixels - first_](c);
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

}  // namespace sanp
