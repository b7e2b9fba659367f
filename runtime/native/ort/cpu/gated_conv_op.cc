// Plans one gated convolution per shape and calls the kernel.
#include "ort/cpu/gated_conv_op.h"

#include <memory>

#include "ort/common/attributes.h"

namespace sanp {
namespace {

// A model with dynamic sizes could otherwise grow the list for ever; later shapes are planned per call.
constexpr int kMaxCachedPlans = 16;

// Read here and not with the other attributes: it names kernels of the CPU, and other providers ignore it.
std::optional<Algorithm> algorithm_wish(const OrtApi* api, const OrtKernelInfo* info) {
  const std::string name = read_optional_string(api, info, "algorithm");
  if (name.empty()) return {};
  if (const std::optional<Algorithm> algorithm = algorithm_of(name.c_str())) return algorithm;
  std::string known;
  for (Algorithm f : kAlgorithms) known += std::string(known.empty() ? "" : ", ") + algorithm_name(f);
  fail("attribute 'algorithm' is '%.60s'; expected one of %s, remove it to leave the choice to the library",
       name.c_str(), known.c_str());
}

// Looks at every weight of a file that was rounded for this, and at the first few of any other.
bool fit_16_bits(const TensorView* w) {
  return w != nullptr && w->type == kOrtFloat && bf16_exact(w->data(), w->elements());
}

}  // namespace

struct GatedConvKernel::CachedPlan {
  CachedPlan(const ConvShape& shape, const IsaKernels& isa, int winograd, std::optional<Algorithm> wish, bool copies)
      : plan(shape, isa, winograd, wish, copies) {}
  Plan plan;
  const void* weights = nullptr;  // prepared, or null where the plan only takes them as they are
  CachedPlan* next = nullptr;
  int position = 0;
};

GatedConvKernel::GatedConvKernel(const OrtApi* ort_api, const OrtKernelInfo* info, const CpuSettings& settings)
    : api(ort_api),
      attributes_(gated_conv_attributes(api, info)),
      constants_(api, info, GatedConvOp::kInputs),
      isa_(settings.isa),
      // Only weights that cannot change may be transformed once.
      winograd_(constants_.find(kConvW) != nullptr ? settings.winograd_limit : 0),
      wish_(algorithm_wish(api, info)),
      bf16_weights_(settings.bf16_weights && fit_16_bits(constants_.find(kConvW))) {}

GatedConvKernel::~GatedConvKernel() {
  for (CachedPlan* p = plans_.load(); p != nullptr;) {
    CachedPlan* const next = p->next;
    delete p;
    p = next;
  }
}

const void* GatedConvKernel::prepared_weights(const Plan& plan, const float* w) const {
  if (plan.prepared_floats() == 0) return nullptr;
  const std::lock_guard<std::mutex> lock(prepare_);
  auto& made = prepared_[plan.prepared_kind()];
  if (made == nullptr) {
    const size_t bytes = (static_cast<size_t>(plan.prepared_floats()) * sizeof(float) + 63) / 64 * 64;
    made.reset(aligned_alloc(64, bytes));
    if (made == nullptr)
      fail(
          "%zu MB for prepared weights could not be allocated; the session config entries sanp.winograd = 0 and "
          "sanp.bf16_weights = 0, and the attribute algorithm = columns of 1x1 layers, do without",
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
  // Weights in 16 bits have kernels for lanes of pixels only.
  const bool copies = constants_.find(kConvW) != nullptr && !bf16_weights_;
  std::unique_ptr<CachedPlan> made(new CachedPlan(shape, *isa_, winograd_, wish_, copies));
  if (bf16_weights_) made->plan.store_bf16();
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
  const GatedConvArguments a(api, context, attributes_, &constants_);
  const GatedConvProblem& p = a.problem;
  ConvCall call{};
  call.y = gated_conv_output(api, context, p);
  if (p.batch == 0) return;
  call.batch = p.batch;
  call.x = a.in.data(kConvX);
  call.w = a.in.data(kConvW);
  call.scale = a.in.data(kConvScale);
  call.shift = a.in.data(kConvShift);
  call.in_active = a.in.data(kConvInActive);
  call.residual = a.in.data(kConvResidual);
  call.scale_step = p.scale_step;
  call.shift_step = p.shift_step;
  call.in_active_step = p.in_active_step;
  call.residual_is_map = p.residual_is_map;
  call.act_min = attributes_.act_min;
  call.act_max = attributes_.act_max;

  CachedPlan* own = nullptr;
  const CachedPlan& cached = plan_for(p.shape, call.w, &own);
  const std::unique_ptr<CachedPlan> release(own);
  call.prepared = cached.weights;
  PoolContext pool;
  if (!run_conv(cached.plan, call, session_pool(api, context, &pool)))
    fail("scratch memory for input 'x' of shape %s could not be allocated; use a smaller batch or input",
         ShapeText(a.in.view[kConvX].shape).text);
}

}  // namespace sanp
