// Compares ort_abi.h with a real ONNX Runtime header where one is installed; compiles to nothing otherwise.
#if __has_include(<onnxruntime_c_api.h>)
#define SANP_HAVE_ORT_HEADER 1
namespace real {
#include <onnxruntime_c_api.h>
}
#elif __has_include(<onnxruntime/onnxruntime_c_api.h>)
#define SANP_HAVE_ORT_HEADER 1
namespace real {
#include <onnxruntime/onnxruntime_c_api.h>
}
#endif

#include "ort/common/ort_abi.h"

#ifdef SANP_HAVE_ORT_HEADER
#define SANP_CHECK_SLOT(result, name, index, parameters) \
  static_assert(offsetof(real::OrtApi, name) == index * sizeof(void*), #name " is in another slot");
#define SANP_CHECK_FIELD(name) \
  static_assert(offsetof(real::OrtCustomOp, name) == offsetof(::OrtCustomOp, name), #name " is elsewhere");
SANP_ORT_FUNCTIONS(SANP_CHECK_SLOT)
SANP_CHECK_FIELD(GetName)
SANP_CHECK_FIELD(CreateKernelV2)
SANP_CHECK_FIELD(KernelComputeV2)
SANP_CHECK_FIELD(InferOutputShapeFn)
SANP_CHECK_FIELD(GetEndVersion)
#endif
