// The depthwise algorithms: strips of open channels are copied into bordered planes and multiplied from the cache, or
// channels are read where they lie.
#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// Copying and finishing a vector, in vector multiply-adds.
constexpr int64_t kVectorWork = 6;

// Some open groups of a sample, one after the other in every strip.
class Block {
 public:
  Block(const Sample& s, float* x) : s_(s), layout_(s.plan->layout_as<DepthwisePlan>()), x_(x) {
    call_.pitch = layout_.planes.plane.pitch;
    call_.chains = layout_.chains.data();
    call_.cols = static_cast<int32_t>(s.plan->out_w);
  }

  void add(int64_t group) {
    if (s_.row_begin[group] == s_.row_begin[group + 1]) return;
    groups_[count_++] = group;
    if (count_ == layout_.channels_ahead) finish();
  }

  void finish() {
    const Plan& plan = *s_.plan;
    for (int64_t y = 0; y < plan.out_h; y += layout_.strip_rows) {
      const int64_t rows = y + layout_.strip_rows < plan.out_h ? layout_.strip_rows : plan.out_h - y;
      for (int64_t k = 0; k < count_; ++k) pack(GroupRun(s_, groups_[k]), k, y, rows);
      call_.rows = static_cast<int32_t>(rows);
      call_.first_pixel = y * plan.out_w;
      for (int64_t k = 0; k < count_; ++k) compute(GroupRun(s_, groups_[k]), k);
    }
    count_ = 0;
  }

 private:
  float* planes_of(int64_t k) const { return x_ + k * layout_.planes.plane.channel_floats; }

  void pack(const GroupRun& g, int64_t k, int64_t y, int64_t rows) const {
    if (g.n_steps == 0) return;
    layout_.isa->pack_strip(layout_.planes.plane, g.channel(0), static_cast<int>(y),
                            static_cast<int>(rows + layout_.row_span), layout_.strips > 1, planes_of(k));
  }

  void compute(const GroupRun& g, int64_t k) {
    call_.x = planes_of(k);
    call_.n_chains = g.n_steps == 0 ? 0 : static_cast<int32_t>(layout_.chains.size());
    for (int32_t m = g.row0; m < g.row0 + g.n_rows; ++m) {
      call_.w = static_cast<const float*>(s_.rows.w[m]);
      call_.end = s_.end.from(m);
      layout_.isa->depthwise(call_);
    }
  }

  const Sample& s_;
  const DepthwisePlan& layout_;
  float* const x_;
  DepthwiseCall call_{};
  int64_t groups_[kMostChannelsAhead];
  int64_t count_ = 0;
};

}  // namespace

bool run_depthwise(const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const auto& layout = plan.layout_as<DepthwisePlan>();
  const int64_t groups = plan.shape.group;
  // The last vector may read past the planes.
  const int64_t floats = layout.channels_ahead * layout.planes.plane.channel_floats + layout.isa->lanes;
  const int64_t vecs = static_cast<int64_t>(layout.planes.tiles.vecs.size()) * layout.strips;
  const size_t tasks = task_count(s.row_begin[groups] * vecs * (plan.n_taps + kVectorWork), groups);
  return parallel_all(pool, tasks, [&](size_t index) {
    fill_masked(s, index, tasks);
    float* const x = pixel_floats(floats, 0);
    if (x == nullptr) return false;
    // Borders are cleared once; no channel writes anything else there.
    for (int64_t j = 0; j < floats; ++j) x[j] = 0.0f;
    Block block(s, x);
    const int64_t end = share(groups, index + 1, tasks);
    for (int64_t i = share(groups, index, tasks); i < end; ++i) block.add(i);
    block.finish();
    return true;
  });
}

bool run_depthwise_in_place(const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const auto& layout = plan.layout_as<EdgePlan>();
  const int64_t groups = plan.shape.group, vecs = static_cast<int64_t>(layout.vecs.size());
  const DepthwiseInPlaceFn run = plan.isa->depthwise_in_place[plan.shape.stride_x];
  const size_t tasks = task_count(s.row_begin[groups] * vecs * (plan.n_taps + kVectorWork), groups);
  auto task = [&](size_t index) {
    fill_masked(s, index, tasks);
    DepthwiseInPlaceCall call{};
    call.vecs = layout.vecs.data();
    call.n_vecs = vecs;
    call.taps = layout.taps.data();
    call.masks = layout.masks.data();
    const int64_t end = share(groups, index + 1, tasks);
    for (int64_t i = share(groups, index, tasks); i < end; ++i) {
      const GroupRun g(s, i);
      call.n_taps = g.n_steps == 0 ? 0 : static_cast<int32_t>(plan.n_taps);
      call.x = s.x + i * plan.shape.height * plan.shape.width;
      for (int32_t m = g.row0; m < g.row0 + g.n_rows; ++m) {
        call.w = static_cast<const float*>(s.rows.w[m]);
        call.end = s.end.from(m);
        run(call);
      }
    }
  };
  parallel_for(pool, tasks, task);
  return true;
}

}  // namespace sanp
