// The device that shapes are planned for. No TensorRT in here.
#pragma once

#include "cuda/sanp_cuda.h"

namespace sanp {
namespace trt {

// Asks CUDA until it answers, then never again: a plugin, like its execution context, stays on one device.
class Device {
 public:
  // 0, or the status of a machine without a CUDA device.
  int current(SanpCudaDevice* device) noexcept {
    if (!known_) {
      const int status = sanp_cuda_device(&device_);
      if (status != SANP_CUDA_OK) return status;
      known_ = true;
    }
    *device = device_;
    return SANP_CUDA_OK;
  }

  // Stands in while a network is built without a device, which TensorRT-RTX can do. No run ever uses what was sized for
  // it, see kUnsizedVersion.
  static SanpCudaDevice assumed() noexcept { return {9, 0, 132, 227 * 1024}; }

 private:
  SanpCudaDevice device_{};
  bool known_ = false;
};

}  // namespace trt
}  // namespace sanp
