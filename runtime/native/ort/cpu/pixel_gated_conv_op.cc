// Plans one convolution with gated pixels and calls the kernel.
#include "ort/cpu/pixel_gated_conv_op.h"

#include "contract/gated_conv.h"
#include "ort/common/attributes.h"

namespace sanp {
namespace {

static_assert(int{kPixelX} == int{kConvX} && int{kPixelW} == int{kConvW}, "shape inference reads both alike");

PixelGatedConvAttributes read_attributes(const OrtApi* api, const OrtKernelInfo* info) {
  PixelGatedConvAttributes a{};
  read_window(api, info, &a);
  a.parts = read_int(api, info, "parts");
  check(check(a));
  return a;
}

}  // namespace

PixelGatedConvKernel::PixelGatedConvKernel(const OrtApi* ort_api, const OrtKernelInfo* info,
                                           const CpuSettings& settings)
    : api(ort_api),
      attributes_(read_attributes(ort_api, info)),
      constants_(ort_api, info, kPixelInputs),
      isa_(settings.isa) {}

std::shared_ptr<const PixelGatedConvKernel::Prepared> PixelGatedConvKernel::prepared_for(const PixelGatedConvProblem& p,
                                                                                         const float* w) const {
  const bool constant = constants_.find(kPixelW) != nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (constant && last_ != nullptr && last_->plan.shape == p.whole) return last_;
  }
  auto made = std::make_shared<Prepared>(p, *isa_);
  made->weights.resize(static_cast<size_t>(p.whole.channels_out * made->plan.weight_floats()));
  made->plan.reorder(w, made->weights.data());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (constant) last_ = made;
  return made;
}

void PixelGatedConvKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kPixelInputs> in(api, context, kPixelInputNames, &constants_);
  PixelGatedConvProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  const int64_t dims[4] = {p.batch, p.whole.channels_out, p.out_h, p.out_w};
  PixelCall call{};
  call.y = output_tensor(api, context, 0, dims, 4);
  if (p.batch == 0) return;
  const std::shared_ptr<const Prepared> prepared = prepared_for(p, in.data(kPixelW));
  call.batch = p.batch;
  call.x = in.data(kPixelX);
  call.w = prepared->weights.data();
  call.w_base = in.data(kPixelBase);
  call.bound = in.data(kPixelBound);
  call.scale = in.data(kPixelScale);
  call.shift = in.data(kPixelShift);
  PoolContext pool;
  if (!run_pixel_conv(prepared->plan, call, session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller batch or input",
         ShapeText(*in.shapes[kPixelX]).text);
}

}  // namespace sanp
