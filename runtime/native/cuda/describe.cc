// Copies the numbers of a checked node; the contract keeps all of them below 2^31.
#include "cuda/describe.h"

#include <string.h>

namespace sanp {
namespace cuda {
namespace {

int32_t i32(int64_t v) { return static_cast<int32_t>(v); }

int32_t rows(int64_t step, int64_t batch) { return step == 0 ? 1 : i32(batch); }

}  // namespace

SanpCudaConv describe(const GatedConvAttributes& a, const GatedConvProblem& p, SanpCudaType type) noexcept {
  const ConvShape& s = p.shape;
  SanpCudaConv c;
  memset(&c, 0, sizeof c);
  c.type = type;
  c.weight_order = a.hwio ? SANP_CUDA_HWIO : SANP_CUDA_OIHW;
  c.batch = i32(p.batch);
  c.c_in = i32(s.channels_in);
  c.height = i32(s.height);
  c.width = i32(s.width);
  c.c_out = i32(s.channels_out);
  c.out_height = i32(p.out_h);
  c.out_width = i32(p.out_w);
  c.kernel_h = i32(s.kernel_h);
  c.kernel_w = i32(s.kernel_w);
  c.stride_h = i32(s.stride_y);
  c.stride_w = i32(s.stride_x);
  c.pad_top = i32(s.pad_top);
  c.pad_left = i32(s.pad_left);
  c.dilation_h = i32(s.dilation_y);
  c.dilation_w = i32(s.dilation_x);
  c.group = i32(s.group);
  c.scale_rows = rows(p.scale_step, p.batch);
  c.shift_rows = rows(p.shift_step, p.batch);
  c.active_rows = rows(p.in_active_step, p.batch);
  c.residual_dense = p.residual_is_map;
  c.act_min = a.act_min;
  c.act_max = a.act_max;
  return c;
}

SanpCudaGate describe(const ChannelGateAttributes& a, const ChannelGateProblem& p, SanpCudaType type) noexcept {
  SanpCudaGate g;
  memset(&g, 0, sizeof g);
  g.type = type;
  g.batch = i32(p.batch);
  g.c_in = i32(p.channels);
  g.height = i32(p.height);
  g.width = i32(p.width);
  g.hidden = i32(p.hidden);
  g.c_out = i32(p.outputs);
  g.mask_rows = rows(p.mask_step, p.batch);
  g.k = i32(a.k);
  g.threshold = a.threshold;
  g.has_offset = p.has_offset;
  return g;
}

}  // namespace cuda
}  // namespace sanp
