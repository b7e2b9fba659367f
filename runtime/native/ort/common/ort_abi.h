// The part of ONNX Runtime's C interface this library uses, written down from its public documentation.
//
// OrtApi is a table of function pointers whose slots never move, so slot numbers replace the header: one binary runs
// on every release since 1.17 and the build needs no ONNX Runtime package. tests/ort/abi_test.cc compares this file
// with a real header where one is installed.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct OrtStatus;
struct OrtValue;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;
struct OrtOpAttr;
struct OrtApi;

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// Version 17 of the struct. Claiming a later version makes ONNX Runtime read callbacks that are not there.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
};

static_assert(sizeof(void*) != 8 || sizeof(OrtCustomOp) == 176, "the struct of version 17 has 22 pointer-sized fields");

namespace sanp {

constexpr uint32_t kOrtApiVersion = 17;

constexpr int kOrtFail = 1;             // OrtErrorCode
constexpr int kOrtInvalidArgument = 2;  // OrtErrorCode
constexpr int kOrtFloat = 1;            // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
constexpr int kOrtUint8 = 2;            // ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
constexpr int kOrtInt8 = 3;             // ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8
constexpr int kOrtRequired = 0;         // INPUT_OUTPUT_REQUIRED
constexpr int kOrtOptional = 1;         // INPUT_OUTPUT_OPTIONAL
constexpr int kOrtMemoryDefault = 0;    // OrtMemTypeDefault
constexpr int kOrtMemoryHost = -2;      // OrtMemTypeCPUInput
constexpr int kOrtAttrInt = 1;          // OrtOpAttrType
constexpr int kOrtAttrInts = 2;

// One line per function used: name, slot, parameters. Every one returns OrtStatus* unless the line says otherwise.
#define SANP_ORT_FUNCTIONS(F) \
  F(OrtStatus*, CreateStatus, 0, (int code, const char* message)) \
  F(const char*, GetErrorMessage, 2, (const OrtStatus*)) \
  F(OrtStatus*, CreateCustomOpDomain, 26, (const char* domain, OrtCustomOpDomain** out)) \
  F(OrtStatus*, CustomOpDomain_Add, 27, (OrtCustomOpDomain*, const OrtCustomOp*)) \
  F(OrtStatus*, AddCustomOpDomain, 28, (OrtSessionOptions*, OrtCustomOpDomain*)) \
  F(OrtStatus*, IsTensor, 50, (const OrtValue*, int* out)) \
  F(OrtStatus*, GetTensorMutableData, 51, (OrtValue*, void** out)) \
  F(OrtStatus*, CreateTensorTypeAndShapeInfo, 57, (OrtTensorTypeAndShapeInfo * *out)) \
  F(OrtStatus*, SetTensorElementType, 58, (OrtTensorTypeAndShapeInfo*, int type)) \
  F(OrtStatus*, SetDimensions, 59, (OrtTensorTypeAndShapeInfo*, const int64_t* dims, size_t count)) \
  F(OrtStatus*, GetTensorElementType, 60, (const OrtTensorTypeAndShapeInfo*, int* out)) \
  F(OrtStatus*, GetDimensionsCount, 61, (const OrtTensorTypeAndShapeInfo*, size_t* out)) \
  F(OrtStatus*, GetDimensions, 62, (const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t count)) \
  F(OrtStatus*, GetSymbolicDimensions, 63, (const OrtTensorTypeAndShapeInfo*, const char** names, size_t count)) \
  F(OrtStatus*, GetTensorTypeAndShape, 65, (const OrtValue*, OrtTensorTypeAndShapeInfo** out)) \
  F(OrtStatus*, KernelInfoGetAttribute_float, 85, (const OrtKernelInfo*, const char* name, float* out)) \
  F(OrtStatus*, KernelInfoGetAttribute_int64, 86, (const OrtKernelInfo*, const char* name, int64_t* out)) \
  F(OrtStatus*, KernelInfoGetAttribute_string, 87, (const OrtKernelInfo*, const char* name, char* out, size_t* size)) \
  F(OrtStatus*, KernelContext_GetInputCount, 88, (const OrtKernelContext*, size_t* out)) \
  F(OrtStatus*, KernelContext_GetInput, 90, (const OrtKernelContext*, size_t index, const OrtValue** out)) \
  F(OrtStatus*, KernelContext_GetOutput, 91, \
    (OrtKernelContext*, size_t index, const int64_t* dims, size_t count, OrtValue** out)) \
  F(void, ReleaseStatus, 93, (OrtStatus*)) \
  F(void, ReleaseTensorTypeAndShapeInfo, 99, (OrtTensorTypeAndShapeInfo*)) \
  F(OrtStatus*, KernelInfoGetAttributeArray_int64, 163, \
    (const OrtKernelInfo*, const char* name, int64_t* out, size_t* size)) \
  F(OrtStatus*, HasSessionConfigEntry, 237, (const OrtSessionOptions*, const char* key, int* out)) \
  F(OrtStatus*, GetSessionConfigEntry, 238, (const OrtSessionOptions*, const char* key, char* value, size_t* size)) \
  F(OrtStatus*, KernelInfoGetConstantInput_tensor, 249, \
    (const OrtKernelInfo*, size_t index, int* is_constant, const OrtValue** out)) \
  F(OrtStatus*, KernelContext_GetGPUComputeStream, 193, (const OrtKernelContext*, void** out)) \
  F(OrtStatus*, ShapeInferContext_GetInputCount, 267, (const OrtShapeInferContext*, size_t* out)) \
  F(OrtStatus*, ShapeInferContext_GetInputTypeShape, 268, \
    (const OrtShapeInferContext*, size_t index, OrtTensorTypeAndShapeInfo** out)) \
  F(OrtStatus*, ShapeInferContext_GetAttribute, 269, \
    (const OrtShapeInferContext*, const char* name, const OrtOpAttr** out)) \
  F(OrtStatus*, ShapeInferContext_SetOutputTypeShape, 270, \
    (const OrtShapeInferContext*, size_t index, const OrtTensorTypeAndShapeInfo*)) \
  F(OrtStatus*, SetSymbolicDimensions, 271, (OrtTensorTypeAndShapeInfo*, const char** names, size_t count)) \
  F(OrtStatus*, ReadOpAttr, 272, (const OrtOpAttr*, int type, void* data, size_t bytes, size_t* needed)) \
  F(OrtStatus*, KernelContext_ParallelFor, 274, \
    (const OrtKernelContext*, void (*task)(void*, size_t), size_t count, size_t batch, void* arg))

// ort::IsTensor(api, value, &out) calls the slot of that name.
namespace ort {

inline void* slot(const OrtApi* api, int index) { return reinterpret_cast<void* const*>(api)[index]; }

#define SANP_ORT_WRAPPER(Result, name, index, parameters) \
  template <class... Args> \
  inline Result name(const OrtApi* api, Args... args) { \
    using Function = Result(*) parameters; \
    return reinterpret_cast<Function>(slot(api, index))(args...); \
  }
SANP_ORT_FUNCTIONS(SANP_ORT_WRAPPER)
#undef SANP_ORT_WRAPPER

}  // namespace ort
}  // namespace sanp
