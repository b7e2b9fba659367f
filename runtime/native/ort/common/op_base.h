// What both operators share: errors as values, views of tensors, and the table of callbacks of an operator.
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include <exception>
#include <string>
#include <type_traits>
#include <vector>

#include "contract/tensor_shape.h"
#include "cpu/base/pool.h"
#include "ort/common/ort_abi.h"

namespace sanp {

// A failed check. Thrown inside the adapter only; every callback turns it into an OrtStatus before returning.
struct OpError {
  std::string message;
};

// Sentence pattern: what was found - what was expected - what to do.
[[noreturn]] inline void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] inline void fail(const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw OpError{text};
}

inline void check(const OrtApi* api, OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = ort::GetErrorMessage(api, status);
  ort::ReleaseStatus(api, status);
  throw OpError{message};
}

inline bool succeeded(const OrtApi* api, OrtStatus* status) {
  if (status == nullptr) return true;
  ort::ReleaseStatus(api, status);
  return false;
}

// Runs f and returns null, or a status with its error; nothing is thrown across the C boundary.
template <class F>
OrtStatus* guarded(const OrtApi* api, const char* op, F f) noexcept {
  try {
    f();
    return nullptr;
  } catch (const OpError& e) {
    char text[1200];
    snprintf(text, sizeof text, "%s: %s", op, e.message.c_str());
    return ort::CreateStatus(api, kOrtInvalidArgument, static_cast<const char*>(text));
  } catch (const std::exception& e) {
    return ort::CreateStatus(api, kOrtFail, e.what());
  } catch (...) {
    return ort::CreateStatus(api, kOrtFail, "unknown error in libsanp_ops");
  }
}

// An input. More dimensions than a shape holds are an error anyway.
struct TensorView {
  Shape<int64_t> shape;
  int type = 0;  // of its elements
  const void* bytes = nullptr;

  // Of an input that is known to be float32.
  const float* data() const { return static_cast<const float*>(bytes); }
  int64_t elements() const;
};

inline void check(const Error& error) {
  if (error) fail("%s", error.text());
}

// The constant inputs of a node, looked at once when it is created: asking for a tensor in every run costs 0.2 us, and
// five of the seven inputs of a gate are constant. For providers whose constants lie where their kernels read them.
class ConstantInputs {
 public:
  static constexpr size_t kMost = 16;
  ConstantInputs(const OrtApi* api, const OrtKernelInfo* info, size_t inputs);
  const TensorView* find(size_t index) const { return view_[index].bytes != nullptr ? &view_[index] : nullptr; }

 private:
  TensorView view_[kMost];
};

TensorView input_tensor(const OrtApi* api, const OrtKernelContext* context, size_t index, const char* name,
                        const ConstantInputs* constants = nullptr, int type = kOrtFloat);
// Of an input that a node may leave out: false if it did.
bool optional_input(const OrtApi* api, const OrtKernelContext* context, size_t index, const char* name,
                    const ConstantInputs* constants, TensorView* view);
void* output_bytes(const OrtApi* api, OrtKernelContext* context, size_t index, const int64_t* dims, size_t rank);
inline float* output_tensor(const OrtApi* api, OrtKernelContext* context, size_t index, const int64_t* dims,
                            size_t rank) {
  return static_cast<float*>(output_bytes(api, context, index, dims, rank));
}

// The inputs of one run, and their shapes as the contract wants them.
template <size_t kInputs>
struct InputTensors {
  TensorView view[kInputs];
  const Shape<int64_t>* shapes[kInputs];

  InputTensors(const OrtApi* api, const OrtKernelContext* context, const char* const (&names)[kInputs],
               const ConstantInputs* constants, const int* types = nullptr) {
    for (size_t i = 0; i < kInputs; ++i) {
      view[i] = input_tensor(api, context, i, names[i], constants, types ? types[i] : kOrtFloat);
      shapes[i] = &view[i].shape;
    }
  }
  InputTensors(const InputTensors&) = delete;
  InputTensors& operator=(const InputTensors&) = delete;

  const float* data(size_t input) const { return view[input].data(); }
  // Of an input whose type was checked.
  template <class T>
  const T* as(size_t input) const {
    return static_cast<const T*>(view[input].bytes);
  }
};

Pool session_pool(const OrtApi* api, const OrtKernelContext* context, struct PoolContext* storage);
struct PoolContext {
  const OrtApi* api;
  const OrtKernelContext* context;
};

// What ONNX Runtime is given: its table of callbacks, and behind it what the session asked of the kernels.
template <class Settings>
struct ConfiguredOp : OrtCustomOp {
  Settings settings;
};

// Element types by position: those that an operator lists, or float32.
template <class Op, class = void>
struct OpTypes {
  static int input(size_t) { return kOrtFloat; }
  static int output(size_t) { return kOrtFloat; }
};
template <class Op>
struct OpTypes<Op, std::void_t<decltype(Op::kInputTypes)>> {
  static int input(size_t index) { return index < Op::kInputs ? Op::kInputTypes[index] : kOrtFloat; }
  static int output(size_t) { return Op::kOutputType; }
};

// Inputs behind the required ones that a node may leave out: float32, and read on the host whatever the provider.
template <class Op, class = void>
struct OptionalInputs {
  static constexpr size_t kCount = 0;
};
template <class Op>
struct OptionalInputs<Op, std::void_t<decltype(Op::kOptionalInputs)>> {
  static constexpr size_t kCount = Op::kOptionalInputs;
};

// Callbacks that are the same for every operator here. Op provides kName, kProvider, kInputs, kOutputs, Kernel and
// infer(), and kOptionalInputs if it has some. A kernel takes the settings or has none.
template <class Op, class Settings>
ConfiguredOp<Settings> make_op(const Settings& settings) {
  ConfiguredOp<Settings> op{};
  op.settings = settings;
  op.version = kOrtApiVersion;
  op.GetName = [](const OrtCustomOp*) { return Op::kName; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return Op::kProvider; };
  op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return Op::kInputs + OptionalInputs<Op>::kCount; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return Op::kOutputs; };
  op.GetInputType = [](const OrtCustomOp*, size_t index) { return OpTypes<Op>::input(index); };
  op.GetOutputType = [](const OrtCustomOp*, size_t index) { return OpTypes<Op>::output(index); };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t index) {
    return index < Op::kInputs ? kOrtRequired : kOrtOptional;
  };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return kOrtRequired; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t index) {
    return index < Op::kInputs ? kOrtMemoryDefault : kOrtMemoryHost;
  };
  op.GetVariadicInputMinArity = op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  // The forms without a status cannot report an error; ONNX Runtime does not call them when the V2 forms are set.
  op.CreateKernel = [](const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*) -> void* { return nullptr; };
  op.KernelCompute = [](void*, OrtKernelContext*) {};
  op.CreateKernelV2 = [](const OrtCustomOp* self, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
    *kernel = nullptr;
    return guarded(api, Op::kName, [&] {
      using Kernel = typename Op::Kernel;
      if constexpr (std::is_constructible_v<Kernel, const OrtApi*, const OrtKernelInfo*, const Settings&>)
        *kernel = new Kernel(api, info, static_cast<const ConfiguredOp<Settings>*>(self)->settings);
      else
        *kernel = new Kernel(api, info);
    });
  };
  op.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
    const auto* k = static_cast<const typename Op::Kernel*>(kernel);
    return guarded(k->api, Op::kName, [&] { k->compute(context); });
  };
  op.KernelDestroy = [](void* kernel) { delete static_cast<typename Op::Kernel*>(kernel); };
  op.InferOutputShapeFn = [](const OrtCustomOp*, OrtShapeInferContext* context) -> OrtStatus* {
    Op::infer(context);
    return nullptr;  // ONNX Runtime ignores and leaks a status returned here; compute reports wrong shapes
  };
  op.GetStartVersion = [](const OrtCustomOp*) { return 1; };
  op.GetEndVersion = [](const OrtCustomOp*) { return 1; };
  return op;
}

}  // namespace sanp
