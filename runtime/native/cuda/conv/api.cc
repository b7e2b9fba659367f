// The convolution functions of sanp_cuda.h.
#include <algorithm>

#include "cuda/conv/launch.h"

using namespace sanp::cuda;

namespace {

// Slices exist for small batches only, so a smaller batch can need more memory than a larger one. The workspace of a
// plan covers all of them, because a runtime allocates it for its largest batch and then runs any.
int32_t workspace_of_smaller_batches(const SanpCudaConv& conv, const SanpCudaDevice& device) {
  int32_t most = 0;
  SanpCudaConv c = conv;
  for (c.batch = 1; c.batch < std::min(conv.batch, 2 * device.sm_count); ++c.batch) {
    c.scale_rows = conv.scale_rows == 1 ? 1 : c.batch;
    c.shift_rows = conv.shift_rows == 1 ? 1 : c.batch;
    c.active_rows = conv.active_rows == 1 ? 1 : c.batch;
    most = std::max(most, candidates(c, device).front().reserved[kPlanWorkspace]);
  }
  return most;
}

bool is_plan_of(const SanpCudaConv& c, const SanpCudaPlan& p) {
  return p.version == SANP_CUDA_ABI_VERSION && p.reserved[kPlanShape] == shape_hash(c) && p.split_k >= 1;
}

bool is_complete(const SanpCudaConvTensors& t) {
  return t.x != nullptr && t.w != nullptr && t.scale != nullptr && t.shift != nullptr && t.in_active != nullptr &&
         t.residual != nullptr && t.y != nullptr && reinterpret_cast<uintptr_t>(t.x) % 16 == 0;
}

bool is_device(const SanpCudaDevice& d) { return d.sm_major > 0 && d.sm_count > 0 && d.shared_bytes > 0; }

}  // namespace

int sanp_cuda_conv_candidates(const SanpCudaConv* conv, const SanpCudaDevice* device, SanpCudaPlan* plans,
                              int capacity) {
  if (conv == nullptr || device == nullptr || !is_valid(*conv) || !is_device(*device)) return SANP_CUDA_BAD_ARGUMENT;
  const std::vector<SanpCudaPlan> found = candidates(*conv, *device);
  if (found.empty()) return 0;
  const int32_t least = workspace_of_smaller_batches(*conv, *device);
  for (int i = 0; i < std::min<int>(capacity, static_cast<int>(found.size())); ++i) {
    plans[i] = found[static_cast<size_t>(i)];
    plans[i].reserved[kPlanWorkspace] = std::max(plans[i].reserved[kPlanWorkspace], least);
  }
  return static_cast<int>(found.size());
}

int sanp_cuda_conv_plan(const SanpCudaConv* conv, const SanpCudaDevice* device, SanpCudaPlan* plan) {
  if (plan == nullptr) return SANP_CUDA_BAD_ARGUMENT;
  const int found = sanp_cuda_conv_candidates(conv, device, plan, 1);
  return found > 0 ? SANP_CUDA_OK : SANP_CUDA_BAD_ARGUMENT;
}

const char* sanp_cuda_algorithm_name(int32_t algorithm) {
  static const char* const names[] = {"none",       "simt",    "direct",  "gather",  "halo",   "pointwise8",
                                      "pointwise4", "packed4", "packed1", "planes8", "planes4"};
  return algorithm >= kNoAlgorithm && algorithm <= kPlanes4 ? names[algorithm] : "unknown";
}

size_t sanp_cuda_conv_workspace(const SanpCudaConv* conv, const SanpCudaPlan* plan) {
  if (conv == nullptr || plan == nullptr || !is_plan_of(*conv, *plan)) return 0;
  return static_cast<size_t>(plan->reserved[kPlanWorkspace]) * 256;
}

int sanp_cuda_conv(const SanpCudaConv* conv, const SanpCudaPlan* plan, const SanpCudaConvTensors* tensors,
                   void* workspace, void* stream) {
  if (conv == nullptr || plan == nullptr || tensors == nullptr || !is_valid(*conv)) return SANP_CUDA_BAD_ARGUMENT;
  if (!is_plan_of(*conv, *plan)) return SANP_CUDA_BAD_PLAN;
  if (conv->batch == 0) return SANP_CUDA_OK;
  const bool needs_workspace = plan->split_k > 1 || is_packed(plan->algorithm);
  if (!is_complete(*tensors) || (needs_workspace && workspace == nullptr)) return SANP_CUDA_BAD_ARGUMENT;
  const PackedConvArgs args = conv_args(*conv, *plan, *tensors, workspace);
  const cudaStream_t on = static_cast<cudaStream_t>(stream);
  return static_cast<int>(is_packed(plan->algorithm)
                              ? launch_packed_conv(*plan, args, on)
                              : launch_conv(*plan, static_cast<SanpCudaType>(conv->type), args, on));
}
