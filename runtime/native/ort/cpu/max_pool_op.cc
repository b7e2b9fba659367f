// Runs a max pooling of bytes on the CPU.
#include "ort/cpu/max_pool_op.h"

#include "cpu/int8/pool/max_pool.h"
#include "cpu/isa/table.h"
#include "ort/common/attributes.h"

namespace sanp {
namespace {

MaxPoolAttributes read_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  MaxPoolAttributes a{};
  read_ints(api, info, "kernel_shape", a.kernel, 2);
  read_ints(api, info, "strides", a.strides, 2);
  read_ints(api, info, "pads", a.pads, 4);
  check(check(a));
  return a;
}

}  // namespace

MaxPoolKernel::MaxPoolKernel(const OrtApi* ort_api, const OrtKernelInfo* info, const CpuSettings& settings)
    : api(ort_api), attributes_(read_attributes(ort_api, info)), isa_(&int8_kernels_for(settings.isa->name)) {}

void MaxPoolKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kPoolInputs> in(api, context, kPoolInputNames, nullptr, MaxPoolOp::kInputTypes);
  MaxPoolProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  const int64_t dims[4] = {p.batch, p.channels, p.shape.out_h, p.shape.out_w};
  auto* const y = static_cast<uint8_t*>(output_bytes(api, context, 0, dims, 4));
  if (p.batch == 0) return;
  PoolContext pool;
  if (!run_int8_max_pool(p.shape, *isa_, p.batch * p.channels, in.as<uint8_t>(kPoolX), y,
                         session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller input",
         ShapeText(*in.shapes[kPoolX]).text);
}

}  // namespace sanp
