// The creators of this library, behind the interface it was compiled for.
#pragma once

#include "trt/nv_types.h"

namespace sanp {
namespace trt {

#if NV_TENSORRT_MAJOR >= 10
using CreatorInterface = nvinfer1::IPluginCreatorInterface;
#else
using CreatorInterface = nvinfer1::IPluginCreator;
#endif

struct CreatorList {
  static constexpr int32_t kCount = 2;
  CreatorInterface* rows[kCount];
  const char* names[kCount];
};

// One list for the life of the process.
const CreatorList& creators() noexcept;

}  // namespace trt
}  // namespace sanp
