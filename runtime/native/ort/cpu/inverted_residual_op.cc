// Plans one fused block and calls the kernel.
#include "ort/cpu/inverted_residual_op.h"

#include "ort/common/attributes.h"

namespace sanp {
namespace {

ClampBounds read_bounds(const OrtApi* api, const OrtKernelInfo* info, const char* low, const char* high) {
  return {read_float(api, info, low), read_float(api, info, high)};
}

BlockAttributes read_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  BlockAttributes a{};
  read_window(api, info, &a);
  a.group = read_int(api, info, "group");
  a.expand = read_bounds(api, info, "expand_min", "expand_max");
  a.depthwise = read_bounds(api, info, "depthwise_min", "depthwise_max");
  a.act = read_bounds(api, info, "act_min", "act_max");
  check(check(a));
  return a;
}

bool all_constant(const ConstantInputs& constants) {
  for (BlockInput i : {kBlockExpand, kBlockDepthwise, kBlockBias, kBlockProject})
    if (constants.find(i) == nullptr) return false;
  return true;
}

}  // namespace

InvertedResidualKernel::InvertedResidualKernel(const OrtApi* ort_api, const OrtKernelInfo* info,
                                               const CpuSettings& settings)
    : api(ort_api),
      attributes_(read_attributes(ort_api, info)),
      constants_(ort_api, info, kBlockInputs),
      isa_(settings.isa),
      constant_weights_(all_constant(constants_)) {}

std::shared_ptr<const BlockPlan> InvertedResidualKernel::plan_for(const BlockProblem& problem) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (last_ == nullptr || !last_->fits(problem)) last_ = std::make_shared<BlockPlan>(problem, *isa_);
  return last_;
}

std::shared_ptr<const KeptMemory> InvertedResidualKernel::weights_for(const BlockPlan& plan,
                                                                      const BlockWeights& weights) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (constant_weights_ && prepared_ != nullptr) return prepared_;
  auto made = std::make_shared<KeptMemory>();
  const size_t bytes = static_cast<size_t>(plan.prepared_floats()) * sizeof(float);
  if (!made->allocate(bytes))
    fail("%zu MB for prepared weights could not be allocated; compile the bundle with --blocks apart", bytes >> 20);
  plan.prepare(weights, static_cast<float*>(made->data()));
  if (constant_weights_) prepared_ = made;
  return made;
}

void InvertedResidualKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kBlockInputs> in(api, context, kBlockInputNames, &constants_);
  BlockProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  const int64_t dims[4] = {p.batch, p.channels_out, p.out_h, p.out_w};
  BlockCall call{};
  call.y = output_tensor(api, context, 0, dims, 4);
  if (p.batch == 0) return;
  call.batch = p.batch;
  call.x = in.data(kBlockX);
  call.weights = {in.data(kBlockExpand), in.data(kBlockDepthwise), in.data(kBlockBias), in.data(kBlockProject)};
  call.scale = in.data(kBlockScale);
  call.shift = in.data(kBlockShift);
  call.in_active = in.data(kBlockInActive);
  call.scale_project = in.data(kBlockScaleProject);
  call.shift_project = in.data(kBlockShiftProject);
  call.scale_step = p.scale_step;
  call.shift_step = p.shift_step;
  call.in_active_step = p.in_active_step;
  call.scale_project_step = p.scale_project_step;
  call.shift_project_step = p.shift_project_step;
  call.residual = in.data(kBlockResidual);
  call.residual_is_map = p.residual_is_map;
  call.expand = attributes_.expand;
  call.depthwise = attributes_.depthwise;
  call.act = attributes_.act;
  const std::shared_ptr<const BlockPlan> plan = plan_for(p);
  const std::shared_ptr<const KeptMemory> prepared = weights_for(*plan, call.weights);
  call.prepared = static_cast<const float*>(prepared->data());
  PoolContext pool;
  if (!run_block(*plan, call, session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller batch or input",
         ShapeText(*in.shapes[kBlockX]).text);
}

}  // namespace sanp
