// The depthwise algorithms: strips of open channels are copied into bordered planes and multiplied from the cache, or
// channels are read where they lie.
//
// Neither makes lists: they would have an entry for each group, and on small maps making them took a third of the time.
#include "cpu/conv/group_run.h"

namespace sanp {
namespace {

// Copying and finishing a vector, in vector multiply-adds.
constexpr int64_t kVectorWork = 6;

// The end of one open output channel, where a kernel can point to it.
struct ChannelRow {
  float scale, shift;
  float* y;
  const float* residual;

  ChannelRow(const Sample& s, int64_t o)
      : scale(s.scale[o]),
        shift(s.shift[o] + s.residual_value),
        y(s.y + o * s.plan->pixels),
        residual(s.residual ? s.residual + o * s.plan->pixels : nullptr) {}

  Epilogue end(const ConvCall& call) const {
    return {&scale, &shift, &y, residual ? &residual : nullptr, call.act_min, call.act_max};
  }
};

// The output channels of a group: closed ones are filled, run(channel, its weights) computes the others. Inlined: a
// call that copies what `run` refers to waits for the stores of it, 15 ns a channel.
template <class Run>
__attribute__((always_inline)) inline void each_channel(const Sample& s, int64_t group, const Run& run) {
  const Plan& plan = *s.plan;
  for (int64_t o = group * plan.group_out; o < (group + 1) * plan.group_out; ++o) {
    if (s.scale[o] != 0.0f)
      run(o, s.call->w + o * plan.n_taps);
    else
      fill_channel(s, o);
  }
}

const float* input_of(const Sample& s, int64_t group) {
  return s.x + group * s.plan->shape.height * s.plan->shape.width;
}

size_t depthwise_tasks(const Sample& s, int64_t vecs) {
  const Plan& plan = *s.plan;
  int64_t open = 0;
  for (int64_t o = 0; o < plan.shape.channels_out; ++o) open += s.scale[o] != 0.0f;
  return task_count(open * vecs * (plan.n_taps + kVectorWork), plan.shape.group);
}

// Some groups of a sample, one after the other in every strip.
class Block {
 public:
  Block(const Sample& s, float* x) : s_(s), layout_(s.plan->layout_as<DepthwisePlan>()), x_(x) {
    call_.pitch = layout_.planes.plane.pitch;
    call_.chains = layout_.chains.data();
    call_.cols = static_cast<int32_t>(s.plan->out_w);
  }

  void add(int64_t group) {
    const int64_t each = s_.plan->group_out;
    bool any = false;
    for (int64_t o = group * each; o < (group + 1) * each; ++o) any |= s_.scale[o] != 0.0f;
    if (!any) return each_channel(s_, group, [](int64_t, const float*) {});
    groups_[count_++] = group;
    if (count_ == layout_.channels_ahead) finish();
  }

  void finish() {
    const Plan& plan = *s_.plan;
    for (int64_t y = 0; y < plan.out_h; y += layout_.strip_rows) {
      const int64_t rows = y + layout_.strip_rows < plan.out_h ? layout_.strip_rows : plan.out_h - y;
      for (int64_t k = 0; k < count_; ++k) pack(groups_[k], k, y, rows);
      call_.rows = static_cast<int32_t>(rows);
      call_.first_pixel = y * plan.out_w;
      for (int64_t k = 0; k < count_; ++k) compute(groups_[k], k);
    }
    count_ = 0;
  }

 private:
  float* planes_of(int64_t k) const { return x_ + k * layout_.planes.plane.channel_floats; }

  void pack(int64_t group, int64_t k, int64_t y, int64_t rows) const {
    if (s_.active[group] == 0.0f) return;
    layout_.isa->pack_strip(layout_.planes.plane, input_of(s_, group), static_cast<int>(y),
                            static_cast<int>(rows + layout_.row_span), layout_.strips > 1, planes_of(k));
  }

  void compute(int64_t group, int64_t k) {
    call_.x = planes_of(k);
    call_.n_chains = s_.active[group] == 0.0f ? 0 : static_cast<int32_t>(layout_.chains.size());
    each_channel(s_, group, [&](int64_t o, const float* w) {
      const ChannelRow row(s_, o);
      call_.w = w;
      call_.end = row.end(*s_.call);
      layout_.isa->depthwise(call_);
    });
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
  const auto& layout = s.plan->layout_as<DepthwisePlan>();
  const int64_t groups = s.plan->shape.group;
  // The last vector may read past the planes.
  const int64_t floats = layout.channels_ahead * layout.planes.plane.channel_floats + layout.isa->lanes;
  const size_t tasks = depthwise_tasks(s, static_cast<int64_t>(layout.planes.tiles.vecs.size()) * layout.strips);
  return parallel_all(pool, tasks, [&](size_t index) {
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

namespace {

bool run_depthwise_strided(const Sample& s, const EdgePlan& layout, const Pool& pool) {
  const Plan& plan = *s.plan;
  const ConvShape& shape = plan.shape;
  const DepthwiseStridedFn kernel = plan.isa->depthwise_strided[shape.kernel_w];
  const int64_t vecs = static_cast<int64_t>(layout.strided.size());
  const size_t tasks = depthwise_tasks(s, vecs * plan.out_h);
  auto task = [&](size_t index) {
    DepthwiseStridedCall call{};
    call.width = static_cast<int32_t>(shape.width);
    call.out_w = static_cast<int32_t>(plan.out_w);
    call.out_h = static_cast<int32_t>(plan.out_h);
    call.pad_top = static_cast<int32_t>(shape.pad_top);
    call.vecs = layout.strided.data();
    call.n_vecs = vecs;
    const int64_t end = share(shape.group, index + 1, tasks);
    for (int64_t i = share(shape.group, index, tasks); i < end; ++i) {
      call.height = s.active[i] == 0.0f ? 0 : static_cast<int32_t>(shape.height);
      call.x = input_of(s, i);
      each_channel(s, i, [&](int64_t o, const float* w) {
        const ChannelRow row(s, o);
        call.w = w;
        call.end = row.end(*s.call);
        kernel(call);
      });
    }
  };
  parallel_for(pool, tasks, task);
  return true;
}

}  // namespace

bool run_depthwise_in_place(const Sample& s, const Pool& pool) {
  const Plan& plan = *s.plan;
  const auto& layout = plan.layout_as<EdgePlan>();
  if (!layout.strided.empty()) return run_depthwise_strided(s, layout, pool);
  const int64_t groups = plan.shape.group, vecs = static_cast<int64_t>(layout.vecs.size());
  const DepthwiseInPlaceFn kernel = plan.isa->depthwise_in_place[plan.shape.stride_x];
  const size_t tasks = depthwise_tasks(s, vecs);
  auto task = [&](size_t index) {
    DepthwiseInPlaceCall call{};
    call.vecs = layout.vecs.data();
    call.n_vecs = vecs;
    call.taps = layout.taps.data();
    call.masks = layout.masks.data();
    const int64_t end = share(groups, index + 1, tasks);
    for (int64_t i = share(groups, index, tasks); i < end; ++i) {
      call.n_taps = s.active[i] == 0.0f ? 0 : static_cast<int32_t>(plan.n_taps);
      call.x = input_of(s, i);
      each_channel(s, i, [&](int64_t o, const float* w) {
        const ChannelRow row(s, o);
        call.w = w;
        call.end = row.end(*s.call);
        kernel(call);
      });
    }
  };
  parallel_for(pool, tasks, task);
  return true;
}

}  // namespace sanp
