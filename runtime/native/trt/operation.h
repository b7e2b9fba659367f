// One plugin instance without its interface: attributes, the plan of the last shape, one call into the kernels.
#pragma once

#include <string.h>

#include "trt/device.h"
#include "trt/tensor.h"

namespace sanp {
namespace trt {

template <class Op>
class Operation {
 public:
  using Attributes = typename Op::Attributes;

  explicit Operation(const Attributes& attributes) noexcept : attributes_(attributes) {}
  // A copy keeps the attributes only: it may belong to a context on another device.
  Operation(const Operation& other) noexcept : attributes_(other.attributes_) {}
  Operation& operator=(const Operation&) = delete;

  const Attributes& attributes() const noexcept { return attributes_; }

  // Scratch bytes for tensors of these shapes.
  Error workspace(const Tensor* in, const Tensor* out, size_t* bytes) const noexcept {
    typename Op::Description description;
    if (Error e = Op::describe(attributes_, in, out, &description)) return e;
    *bytes = 0;
    if (description.batch == 0) return {};
    SanpCudaDevice device;
    if (sanp_cuda_device(&device) != SANP_CUDA_OK) device = Device::assumed();
    typename Op::Plan plan;
    if (Error e = Op::plan(description, device, &plan)) return e;
    *bytes = Op::workspace(description, plan);
    return {};
  }

  // Plans for these shapes; costs a comparison when they are those of the last call.
  Error prepare(const Tensor* in, const Tensor* out) noexcept {
    typename Op::Description description;
    if (Error e = Op::describe(attributes_, in, out, &description)) return e;
    if (ready_ && memcmp(&description, &description_, sizeof description) == 0) return {};
    ready_ = false;
    SanpCudaDevice device;
    if (device_.current(&device) != SANP_CUDA_OK) device = Device::assumed();
    if (description.batch > 0)
      if (Error e = Op::plan(description, device, &plan_)) return e;
    description_ = description;
    ready_ = true;
    return {};
  }

  // Prepares where the caller has not, then enqueues on `stream`.
  Error launch(const Tensor* in, const Tensor* out, const void* const* inputs, void* const* outputs, void* workspace,
               void* stream) noexcept {
    if (Error e = prepare(in, out)) return e;
    if (description_.batch == 0) return {};
    const int status = Op::launch(description_, plan_, inputs, outputs, workspace, stream);
    if (status == SANP_CUDA_OK) return {};
    return Error::format("the launch failed with status %d: %s; the engine must run on a device it was built for",
                         status, sanp_cuda_message(status));
  }

 private:
  const Attributes attributes_;
  typename Op::Description description_{};
  typename Op::Plan plan_{};
  Device device_;
  bool ready_ = false;
};

}  // namespace trt
}  // namespace sanp
