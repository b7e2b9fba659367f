// Plans one gated int8 convolution and calls the kernel.
#include "ort/cpu/gated_qlinear_conv_op.h"

#include "cpu/isa/table.h"
#include "ort/common/gated_conv_args.h"

namespace sanp {
namespace {

// Kernels multiply magnitudes, and that of -128 does not fit.
void check_weights(const int8_t* w, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (w[i] == -128)
      fail("input 'w' holds -128 at element %lld; expected -127 to 127, quantise weights symmetrically",
           static_cast<long long>(i));
}

float step_of(const float* value, GatedQLinearConvInput input) {
  check(check_step(kQConvInputNames[input], *value));
  return *value;
}

}  // namespace

GatedQLinearConvKernel::GatedQLinearConvKernel(const OrtApi* ort_api, const OrtKernelInfo* info,
                                               const CpuSettings& settings)
    : api(ort_api),
      attributes_(gated_conv_attributes(ort_api, info)),
      constants_(ort_api, info, kQConvInputs),
      isa_(&int8_kernels_for(settings.isa->name)) {}

std::shared_ptr<const GatedQLinearConvKernel::Prepared> GatedQLinearConvKernel::prepared_for(const ConvShape& shape,
                                                                                             const int8_t* w,
                                                                                             int64_t elements) const {
  const bool constant = constants_.find(kQConvW) != nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (constant && last_ != nullptr && last_->plan.shape == shape) return last_;
  }
  check_weights(w, elements);
  auto made = std::make_shared<Prepared>(shape, *isa_);
  if (!made->weights.allocate(made->plan.weight_bytes()))
    fail("%zu MB for the weights of a layer could not be allocated; use a smaller model or keep it in float32",
         made->plan.weight_bytes() >> 20);
  made->sums.resize(static_cast<size_t>(shape.channels_out));
  made->plan.prepare(w, static_cast<int8_t*>(made->weights.data()), made->sums.data());
  const std::lock_guard<std::mutex> lock(mutex_);
  if (constant) last_ = made;
  return made;
}

void GatedQLinearConvKernel::compute(OrtKernelContext* context) const {
  const InputTensors<kQConvInputs> in(api, context, kQConvInputNames, &constants_, GatedQLinearConvOp::kInputTypes);
  GatedConvProblem p;
  check(sanp::check(attributes_, in.shapes, &p));
  const int64_t dims[4] = {p.batch, p.shape.channels_out, p.out_h, p.out_w};
  Int8Call call{};
  call.y = static_cast<uint8_t*>(output_bytes(api, context, 0, dims, 4));
  call.x_scale = step_of(in.data(kQConvXScale), kQConvXScale);
  call.residual_scale = step_of(in.data(kQConvResidualScale), kQConvResidualScale);
  call.y_scale = step_of(in.data(kQConvYScale), kQConvYScale);
  if (p.batch == 0) return;
  const std::shared_ptr<const Prepared> prepared =
      prepared_for(p.shape, in.as<int8_t>(kQConvW), in.view[kQConvW].elements());
  call.batch = p.batch;
  call.x = in.as<uint8_t>(kQConvX);
  call.x_zero = *in.as<uint8_t>(kQConvXZeroPoint);
  call.w = static_cast<const int8_t*>(prepared->weights.data());
  call.w_sums = prepared->sums.data();
  call.w_scale = in.data(kQConvWScale);
  call.scale = in.data(kQConvScale);
  call.shift = in.data(kQConvShift);
  call.in_active = in.data(kQConvInActive);
  call.scale_step = p.scale_step;
  call.shift_step = p.shift_step;
  call.in_active_step = p.in_active_step;
  call.residual = in.as<uint8_t>(kQConvResidual);
  call.residual_is_map = p.residual_is_map;
  call.residual_zero = *in.as<uint8_t>(kQConvResidualZeroPoint);
  call.y_zero = *in.as<uint8_t>(kQConvYZeroPoint);
  call.act_min = attributes_.act_min;
  call.act_max = attributes_.act_max;
  PoolContext pool;
  if (!run_int8_conv(prepared->plan, call, session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller batch or input",
         ShapeText(*in.shapes[kQConvX]).text);
}

}  // namespace sanp
