// Checks the arguments of SanpGatedConv and calls the kernel.
#include "gated_conv_op.h"

#include <stdlib.h>

#include <memory>

#include "../kernels/isa.h"
#include "attributes.h"

namespace sanp {
namespace {

// A model with dynamic sizes could otherwise grow the list for ever; later shapes are planned per call.
constexpr int kMaxCachedPlans = 16;

long long ll(int64_t v) { return static_cast<long long>(v); }

// Only weights that cannot change may be transformed once. An input that ONNX Runtime cannot tell is not constant.
bool constant_weights(const OrtApi* api, const OrtKernelInfo* info) {
  int constant = 0;
  const OrtValue* value = nullptr;
  return succeeded(api, ort::KernelInfoGetConstantInput_tensor(api, info, size_t{1}, &constant, &value)) &&
         constant != 0;
}

void check_attributes(const GatedConvAttributes& a) {
  for (int i = 0; i < 2; ++i) {
    if (a.strides[i] < 1)
      fail("attribute 'strides' is [%lld, %lld]; each must be at least 1, re-export the model", ll(a.strides[0]),
           ll(a.strides[1]));
    if (a.dilations[i] < 1)
      fail("attribute 'dilations' is [%lld, %lld]; each must be at least 1, re-export the model", ll(a.dilations[0]),
           ll(a.dilations[1]));
  }
  for (int64_t pad : a.pads)
    if (pad < 0)
      fail("attribute 'pads' is %s; each must be 0 or more, crop with Slice instead", shape_text(a.pads, 4).c_str());
  if (a.group < 1) fail("attribute 'group' is %lld; it must be at least 1, re-export the model", ll(a.group));
}

ConvShape conv_shape(const GatedConvAttributes& a, const TensorView& x, const TensorView& w) {
  ConvShape s{};
  s.channels_in = x.dims[1];
  s.height = x.dims[2];
  s.width = x.dims[3];
  s.channels_out = w.dims[0];
  s.kernel_h = w.dims[2];
  s.kernel_w = w.dims[3];
  // Any stride past the padded input gives one output; the largest extent stands for all of them.
  s.stride_y = a.strides[0] < kMaxExtent ? a.strides[0] : kMaxExtent;
  s.stride_x = a.strides[1] < kMaxExtent ? a.strides[1] : kMaxExtent;
  s.pad_top = a.pads[0];
  s.pad_left = a.pads[1];
  s.pad_bottom = a.pads[2];
  s.pad_right = a.pads[3];
  s.dilation_y = a.dilations[0];
  s.dilation_x = a.dilations[1];
  s.group = a.group;
  return s;
}

ConvShape checked_shape(const GatedConvAttributes& a, const TensorView& x, const TensorView& w, int64_t out[2]) {
  require_rank(x, 4, 0);
  require_rank(w, 4, -1);
  const ConvShape s = conv_shape(a, x, w);
  if (s.channels_in % s.group || s.channels_out % s.group)
    fail("group = %lld does not divide %lld input and %lld output channels; re-export the model", ll(s.group),
         ll(s.channels_in), ll(s.channels_out));
  if (w.dims[1] != s.channels_in / s.group)
    fail(
        "input 'w' has shape %s; expected %lld input channels per group (x has %lld channels, group = %lld), pass the "
        "weights of this layer",
        w.shape().c_str(), ll(s.channels_in / s.group), ll(s.channels_in), ll(s.group));
  if (!s.output_size(&out[0], &out[1]))
    fail(
        "a kernel of %lld x %lld (dilations %lld, %lld) does not fit input 'x' of shape %s with pads %s, or the result "
        "exceeds 2^31 elements per channel; check pads and the input size",
        ll(s.kernel_h), ll(s.kernel_w), ll(s.dilation_y), ll(s.dilation_x), x.shape().c_str(),
        shape_text(a.pads, 4).c_str());
  return s;
}

}  // namespace

struct GatedConvKernel::CachedPlan {
  CachedPlan(const ConvShape& shape, const IsaKernels& isa, int winograd) : plan(shape, isa, winograd) {}
  const Plan plan;
  const float* weights = nullptr;  // prepared, or null where the plan takes them as they are
  CachedPlan* next = nullptr;
  int position = 0;
};

GatedConvKernel::GatedConvKernel(const OrtApi* ort_api, const OrtKernelInfo* info)
    : api(ort_api),
      isa_(&current_isa()),
      winograd_(constant_weights(api, info) ? winograd_limit() : 0),
      prepared_{{nullptr, free}, {nullptr, free}} {
  read_ints(api, info, "strides", attributes_.strides, 2);
  read_ints(api, info, "pads", attributes_.pads, 4);
  read_ints(api, info, "dilations", attributes_.dilations, 2);
  attributes_.group = read_int(api, info, "group");
  attributes_.act_min = read_float(api, info, "act_min");
  attributes_.act_max = read_float(api, info, "act_max");
  check_attributes(attributes_);
}

GatedConvKernel::~GatedConvKernel() {
  for (CachedPlan* p = plans_.load(); p != nullptr;) {
    CachedPlan* const next = p->next;
    delete p;
    p = next;
  }
}

const float* GatedConvKernel::prepared_weights(const Plan& plan, const float* w) const {
  if (plan.prepared_floats() == 0) return nullptr;
  const std::lock_guard<std::mutex> lock(prepare_);
  auto& made = prepared_[plan.winograd.kind()];
  if (made == nullptr) {
    const size_t bytes = (static_cast<size_t>(plan.prepared_floats()) * sizeof(float) + 63) / 64 * 64;
    made.reset(static_cast<float*>(aligned_alloc(64, bytes)));
    if (made == nullptr)
      fail("%zu MB for transformed weights could not be allocated; sanp_ops_limit_winograd(0) does without",
           bytes >> 20);
    plan.prepare(w, made.get());
  }
  return made.get();
}

// Sets *own to a plan the caller must delete when the list is full.
const GatedConvKernel::CachedPlan& GatedConvKernel::plan_for(const ConvShape& shape, const float* w,
                                                             CachedPlan** own) const {
  CachedPlan* head = plans_.load(std::memory_order_acquire);
  for (CachedPlan* p = head; p != nullptr; p = p->next)
    if (p->plan.shape == shape) return *p;
  std::unique_ptr<CachedPlan> made(new CachedPlan(shape, *isa_, winograd_));
  made->weights = prepared_weights(made->plan, w);
  do {
    made->next = head;
    made->position = head == nullptr ? 0 : head->position + 1;
    if (made->position >= kMaxCachedPlans) {
      *own = made.release();
      return **own;
    }
  } while (!plans_.compare_exchange_weak(head, made.get(), std::memory_order_acq_rel, std::memory_order_acquire));
  return *made.release();
}

void GatedConvKernel::compute(OrtKernelContext* context) const {
  const TensorView x = input_tensor(api, context, 0, "x");
  const TensorView w = input_tensor(api, context, 1, "w");
  const TensorView scale = input_tensor(api, context, 2, "scale");
  const TensorView shift = input_tensor(api, context, 3, "shift");
  const TensorView in_active = input_tensor(api, context, 4, "in_active");
  const TensorView residual = input_tensor(api, context, 5, "residual");

  int64_t size[2];
  const ConvShape shape = checked_shape(attributes_, x, w, size);
  const int64_t n = x.dims[0];
  const int64_t dims[4] = {n, shape.channels_out, size[0], size[1]};
  ConvCall call{};
  call.batch = n;
  call.scale_step = require_rows(scale, n, shape.channels_out, "output channel");
  call.shift_step = require_rows(shift, n, shape.channels_out, "output channel");
  call.in_active_step = require_rows(in_active, n, shape.channels_in, "input channel");
  bool same = residual.rank == 4;
  for (size_t i = 0; same && i < 4; ++i) same = residual.dims[i] == dims[i];
  if (!same && residual.elements() != 1)
    fail("input 'residual' has shape %s; expected the output shape %s or one element, pass 0 for none",
         residual.shape().c_str(), shape_text(dims, 4).c_str());

  int64_t elements = 1;
  for (int64_t d : dims)
    if (__builtin_mul_overflow(elements, d, &elements) || elements > (int64_t{1} << 40))
      fail("the output of shape %s is too large; check pads and strides", shape_text(dims, 4).c_str());
  call.y = output_tensor(api, context, 0, dims, 4);
  if (n == 0) return;

  call.x = x.data;
  call.w = w.data;
  call.scale = scale.data;
  call.shift = shift.data;
  call.in_active = in_active.data;
  call.residual = residual.data;
  call.residual_is_map = same && residual.elements() != 1;
  call.act_min = attributes_.act_min;
  call.act_max = attributes_.act_max;

  CachedPlan* own = nullptr;
  const CachedPlan& cached = plan_for(shape, w.data, &own);
  const std::unique_ptr<CachedPlan> release(own);
  if (cached.weights != nullptr) call.w = cached.weights;
  PoolContext pool;
  if (!run_conv(cached.plan, call, session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller batch or input",
         x.shape().c_str());
}

}  // namespace sanp
